//! The client.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{BinaryMetadataValue, KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use crate::codec::{LAST, Raw};
use crate::pattern::{Received, message};

/// Answers each line of standard input with a line.
pub(crate) async fn run(address: &str) -> io::Result<()> {
    let endpoint = Endpoint::try_from(format!("http://{address}")).map_err(io::Error::other)?;
    let mut client = Client { channel: endpoint.connect_lazy(), open: None };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = client.obey(command, rest).await;
        println!("{}", answer.unwrap_or_else(|status| told(&status)).replace('\n', "\\n"));
    }
    Ok(())
}

/// The number of a status, its text and its metadata.
fn told(status: &Status) -> String {
    let own = own(status.metadata());
    format!("status {} {}", status.code() as i32, status.message()) + &own
}

/// The metadata that came back, sorted.
fn own(metadata: &MetadataMap) -> String {
    let mut pairs: Vec<String> = metadata.iter().filter_map(pair).collect();
    pairs.sort();
    pairs.into_iter().map(|pair| format!(" {pair}")).collect()
}

fn pair(pair: KeyAndValueRef<'_>) -> Option<String> {
    let (key, value) = match pair {
        KeyAndValueRef::Ascii(key, value) => (key.as_str(), value.to_str().ok()?.to_owned()),
        KeyAndValueRef::Binary(key, value) => {
            let bytes = value.to_bytes().ok()?;
            (key.as_str(), bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
    };
    (key.starts_with("own-") || key.starts_with("end-")).then(|| format!("{key}={value}"))
}

struct Client {
    channel: Channel,
    /// The call between `open` and its end.
    open: Option<Open>,
}

struct Open {
    sender: mpsc::Sender<Bytes>,
    answers: Streaming<Bytes>,
}

impl Client {
    async fn obey(&mut self, command: &str, rest: &str) -> Result<String, Status> {
        let words: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
        match command {
            "unary" => self.unary("Unary", Request::new(bytes(rest))).await.map(|r| text(&r)),
            "large" => {
                let sent = message(1, number(0));
                let came = self.unary("Unary", Request::new(sent.clone())).await?.into_inner();
                Ok(format!("{} bytes, same: {}", came.len(), came == sent))
            }
            "metadata" => {
                let response = self.unary("Unary", with_metadata(Request::new(bytes("m")))).await?;
                Ok(text(&response) + &own(response.metadata()))
            }
            "remaining" => {
                let mut request = Request::new(Bytes::new());
                request.set_timeout(Duration::from_millis(number(0) as u64));
                let left = text(&self.unary("Remaining", request).await?);
                Ok(within(left.parse().unwrap_or(0), number(0)))
            }
            "deadline" => {
                let mut request = Request::new(Bytes::new());
                set_id(&mut request, words.get(1).unwrap_or(&""));
                request.set_timeout(Duration::from_millis(number(0) as u64));
                self.unary("Never", request).await.map(|response| text(&response))
            }
            "fail" => {
                let request = with_metadata(Request::new(bytes(rest)));
                self.unary("Fail", request).await.map(|response| text(&response))
            }
            "fail-later" => self.fail_later(with_metadata(Request::new(bytes(rest)))).await,
            "missing" => self.unary("Missing", Request::new(bytes(rest))).await.map(|r| text(&r)),
            "health" => self.unary("Health", Request::new(bytes(rest))).await.map(|r| text(&r)),
            "gather" => {
                let (count, size) = (number(0), number(1));
                let messages = tokio_stream::iter((0..count).map(move |at| message(at, size)));
                let mut grpc = self.grpc().await?;
                let request = Request::new(messages);
                Ok(text(&grpc.client_streaming(request, path("Gather"), Raw).await?))
            }
            "scatter" => {
                let mut stream = self.scatter(rest, "").await?;
                receive(&mut stream, Received::default()).await
            }
            "echo" => {
                let (count, size) = (number(0), number(1));
                let messages = (0..count).map(move |at| message(at, size));
                let messages = tokio_stream::iter(messages.chain([Bytes::from_static(LAST)]));
                let mut stream = self.both(Request::new(messages)).await?;
                receive(&mut stream, Received::default()).await
            }
            "slow" => self.slow(rest).await,
            "many" => self.many(number(0)).await,
            "open" => {
                let (sender, receiver) = mpsc::channel(1);
                // The first message lets the server's head come.
                let _ = sender.send(bytes("open")).await;
                let mut request = Request::new(ReceiverStream::new(receiver));
                set_id(&mut request, rest);
                let answers = self.both(request).await?;
                let open = self.open.insert(Open { sender, answers });
                open.next().await
            }
            "step" => {
                let Some(open) = &mut self.open else { return Ok("nothing is open".to_owned()) };
                let _ = open.sender.send(bytes(rest)).await;
                open.next().await
            }
            "next" => match &mut self.open {
                Some(open) => open.next().await,
                None => Ok("nothing is open".to_owned()),
            },
            "close" => {
                let Some(Open { sender, mut answers }) = self.open.take() else {
                    return Ok("nothing is open".to_owned());
                };
                let _ = sender.send(Bytes::from_static(LAST)).await;
                drop(sender);
                receive(&mut answers, Received::default()).await
            }
            "cancel" => {
                self.open = None;
                Ok("cancelled".to_owned())
            }
            _ => Ok(format!("unknown command {command}")),
        }
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }

    async fn unary(
        &self,
        method: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        self.grpc().await?.unary(request, path(method), Raw).await
    }

    async fn both<S>(&self, request: Request<S>) -> Result<Streaming<Bytes>, Status>
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        Ok(self.grpc().await?.streaming(request, path("Both"), Raw).await?.into_inner())
    }

    async fn scatter(&self, what: &str, id: &str) -> Result<Streaming<Bytes>, Status> {
        let mut request = Request::new(bytes(what));
        set_id(&mut request, id);
        let mut grpc = self.grpc().await?;
        Ok(grpc.server_streaming(request, path("Scatter"), Raw).await?.into_inner())
    }

    async fn fail_later(&self, request: Request<Bytes>) -> Result<String, Status> {
        let mut grpc = self.grpc().await?;
        let mut stream = grpc.server_streaming(request, path("FailLater"), Raw).await?.into_inner();
        let mut said = String::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => said += &String::from_utf8_lossy(&message),
                Ok(None) => return Ok(said + " and no failure"),
                Err(status) => return Ok(said + ", " + &told(&status)),
            }
        }
    }

    /// Reads one message of a stream, lets the others wait while it makes calls, and reads them.
    async fn slow(&self, what: &str) -> Result<String, Status> {
        let mut stream = self.scatter(what, "slow").await?;
        let mut received = Received::default();
        received.add(&stream.message().await?.unwrap_or_default());
        let mut sent = String::new();
        for _ in 0..SLOW {
            sent = text(&self.unary("Sent", Request::new(bytes("slow"))).await?);
        }
        Ok(format!("{sent} sent, {}", receive(&mut stream, received).await?))
    }

    async fn many(&self, count: usize) -> Result<String, Status> {
        let calls: Vec<_> = (0..count)
            .map(|at| {
                let channel = self.channel.clone();
                tokio::spawn(async move {
                    let client = Self { channel, open: None };
                    let sent = bytes(&at.to_string());
                    let came = client.unary("Unary", Request::new(sent.clone())).await?;
                    Ok::<bool, Status>(came.into_inner() == sent)
                })
            })
            .collect();
        let mut same = 0;
        for call in calls {
            same += usize::from(call.await.map_err(|e| Status::unknown(e.to_string()))??);
        }
        Ok(format!("{same} answers"))
    }
}

/// The number of calls beside a stream that is not read.
const SLOW: usize = 50;

impl Open {
    async fn next(&mut self) -> Result<String, Status> {
        let message = self.answers.message().await?;
        Ok(message
            .map_or("the end".to_owned(), |message| String::from_utf8_lossy(&message).into_owned()))
    }
}

async fn receive(stream: &mut Streaming<Bytes>, mut received: Received) -> Result<String, Status> {
    while let Some(message) = stream.next().await {
        received.add(&message?);
    }
    Ok(received.to_string())
}

fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/weir.Echo/{method}")).expect("a path")
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.get_ref()).into_owned()
}

fn set_id<T>(request: &mut Request<T>, id: &str) {
    if let Ok(id) = id.parse() {
        request.metadata_mut().insert("id", id);
    }
}

fn with_metadata(mut request: Request<Bytes>) -> Request<Bytes> {
    let metadata = request.metadata_mut();
    for value in ["a value", "b, c"] {
        metadata.append("own-text", tonic::metadata::MetadataValue::from_static(value));
    }
    for value in [&[0, 255, 128, 10][..], b"", b"abc"] {
        metadata.append_bin("own-bytes-bin", BinaryMetadataValue::from_bytes(value));
    }
    request
}

/// Whether the time that a server has left is at most the client's, and not much less.
fn within(left: usize, given: usize) -> String {
    match left {
        // The limit that is sent may be rounded up.
        _ if left > given + given / 100 => format!("{left} of {given} ms left"),
        _ if left < given / 2 => format!("only {left} of {given} ms left"),
        _ => "as given".to_owned(),
    }
}
