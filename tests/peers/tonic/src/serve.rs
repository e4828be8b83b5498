//! The server.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::codec::{LAST, Raw};
use crate::pattern::{Received, message};

/// Serves until the end of standard input. The first line of output is the port.
pub(crate) async fn run() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    let state = Arc::new(State { serving: AtomicBool::new(true), sent: Mutex::default() });
    let served = Server::builder()
        .add_service(Echo(Arc::clone(&state)))
        .add_service(Health(state))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::select! {
        ended = served => ended.map_err(io::Error::other),
        read = async { tokio::io::stdin().read(&mut [0]).await } => read.map(drop),
    }
}

struct State {
    /// What the service of health says.
    serving: AtomicBool,
    /// The number of messages that each call of `Scatter` has sent, by its id.
    sent: Mutex<HashMap<String, usize>>,
}

impl State {
    fn sent(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Echo(Arc<State>);

#[derive(Clone)]
struct Health(Arc<State>);

impl NamedService for Echo {
    const NAME: &'static str = "weir.Echo";
}

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send + 'static>>;

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let state = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer(state, request).await) })
    }
}

impl tower::Service<http::Request<Body>> for Health {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let check = service_fn(move |request: Request<Bytes>| {
                std::future::ready(health(&state, request.get_ref()))
            });
            Ok(Grpc::new(Raw).unary(check, request).await)
        })
    }
}

async fn answer(state: Arc<State>, request: http::Request<Body>) -> http::Response<Body> {
    let mut grpc = Grpc::new(Raw);
    match request.uri().path() {
        "/weir.Echo/Gather" => grpc.client_streaming(service_fn(gather), request).await,
        "/weir.Echo/Scatter" => {
            let scatter = service_fn(move |request| scatter(Arc::clone(&state), request));
            grpc.server_streaming(scatter, request).await
        }
        "/weir.Echo/FailLater" => grpc.server_streaming(service_fn(fail_later), request).await,
        "/weir.Echo/Never" => grpc.unary(service_fn(never), request).await,
        "/weir.Echo/Both" => grpc.streaming(service_fn(both), request).await,
        path => {
            let method = path.rsplit('/').next().unwrap_or_default().to_owned();
            let unary =
                service_fn(move |request| std::future::ready(unary(&state, &method, request)));
            grpc.unary(unary, request).await
        }
    }
}

fn unary(state: &State, method: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let text = String::from_utf8_lossy(request.get_ref()).into_owned();
    match method {
        "Unary" => {
            let own = own(request.metadata());
            let mut response = Response::new(request.into_inner());
            *response.metadata_mut() = own;
            Ok(response)
        }
        "Fail" => Err(failure(&text, request.metadata())),
        "Remaining" => {
            let timeout = request.metadata().get("grpc-timeout");
            let timeout = timeout.and_then(|value| value.to_str().ok()).unwrap_or("none");
            Ok(Response::new(milliseconds(timeout).to_string().into()))
        }
        "Sent" => Ok(Response::new(
            state.sent().get(&text).copied().unwrap_or_default().to_string().into(),
        )),
        "Health" => {
            state.serving.store(text == "on", Ordering::Relaxed);
            Ok(Response::new(Bytes::new()))
        }
        _ => Err(Status::unimplemented("no such method")),
    }
}

/// A time limit in milliseconds, as written in `grpc-timeout`; 0 if it is not one.
fn milliseconds(timeout: &str) -> u64 {
    let (number, unit) = timeout.split_at(timeout.len().saturating_sub(1));
    let number: u64 = number.parse().unwrap_or_default();
    match unit {
        "H" => number * 3_600_000,
        "M" => number * 60_000,
        "S" => number * 1000,
        "m" => number,
        "u" => number / 1000,
        "n" => number / 1_000_000,
        _ => 0,
    }
}

/// The client's metadata that come back.
fn own(metadata: &MetadataMap) -> MetadataMap {
    let mut own = MetadataMap::new();
    for pair in metadata.iter() {
        match pair {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with("own-") => {
                own.append(key, value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with("own-") => {
                own.append_bin(key, value.clone());
            }
            _ => {}
        }
    }
    own
}

/// `CODE TEXT`, with the client's metadata.
fn failure(text: &str, metadata: &MetadataMap) -> Status {
    let (code, text) = text.split_once(' ').unwrap_or((text, ""));
    let code = Code::from_bytes(code.as_bytes());
    Status::with_metadata(code, text, own(metadata))
}

async fn gather(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let (mut messages, mut received) = (request.into_inner(), Received::default());
    while let Some(message) = messages.message().await? {
        received.add(&message);
    }
    Ok(Response::new(received.to_string().into()))
}

async fn never(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let _told = Told::of(&request);
    std::future::pending().await
}

type Messages = ReceiverStream<Result<Bytes, Status>>;

async fn scatter(state: Arc<State>, request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let text = String::from_utf8_lossy(request.get_ref()).into_owned();
    let mut words = text.split(' ');
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let (count, size) = (number(), number());
    let mut call = Told::of(&request);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for index in 0..count {
            if sender.send(Ok(message(index, size))).await.is_err() {
                return;
            }
            *state.sent().entry(call.id.clone()).or_default() += 1;
        }
        call.finish();
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn fail_later(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let text = String::from_utf8_lossy(request.get_ref()).into_owned();
    let failure = failure(&text, request.metadata());
    let (sender, receiver) = mpsc::channel(3);
    for sent in [Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b")), Err(failure)] {
        let _ = sender.send(sent).await;
    }
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn both(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    let mut call = Told::of(&request);
    let mut messages = request.into_inner();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let message = tokio::select! {
                message = messages.message() => message,
                () = sender.closed() => return,
            };
            match message {
                // The messages of a call that is cancelled end, too.
                Ok(Some(message)) if message == LAST => call.finish(),
                Ok(Some(message)) if sender.send(Ok(message.clone())).await.is_ok() => {}
                _ => return,
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

/// Says how a call ends.
struct Told {
    id: String,
    finished: bool,
}

impl Told {
    fn of<T>(request: &Request<T>) -> Self {
        Self { id: id(request), finished: false }
    }

    fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        println!("{} {}", if self.finished { "finished" } else { "cancelled" }, self.id);
    }
}

/// The name that a client has given to a call.
fn id<T>(request: &Request<T>) -> String {
    let id = request.metadata().get("id").and_then(|value| value.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// The message of `grpc.health.v1.HealthCheckResponse`: its first field is the status.
fn health(state: &State, request: &[u8]) -> Result<Response<Bytes>, Status> {
    match request {
        [] | [10, 9, b'w', b'e', b'i', b'r', b'.', b'E', b'c', b'h', b'o'] => {
            let status = if state.serving.load(Ordering::Relaxed) { 1 } else { 2 };
            Ok(Response::new(Bytes::copy_from_slice(&[8, status])))
        }
        _ => Err(Status::not_found("unknown service")),
    }
}
