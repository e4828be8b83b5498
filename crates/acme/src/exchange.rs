//! One connection to an authority: requests and whole responses, over HTTP/1.1.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use weir_engine::event_loop::on_a_thread;
use weir_engine::os_error::OsError;
use weir_engine::tls::{self, ClientTls};
use weir_engine::{Addr, Conn, ConnectOptions, connect, timer};
use weir_wire::h1::{Chunked, Framing, ResponseParser};
use weir_wire::header::Headers;

use crate::error::AcmeError;
use crate::issuer::Resolving;
use crate::url::AcmeUrl;

/// The time for a connection to one address, and for its handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// The time for a whole response.
const ANSWER: Duration = Duration::from_secs(60);

/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 4;

/// The limit of a response's head in bytes.
const MAX_HEAD: usize = 16 << 10;

/// The limit of a response's body in bytes: an order of a hundred names is far below.
const MAX_BODY: usize = 1 << 20;

/// The size of a read.
const READ: usize = 16 << 10;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    conn: Conn,
    /// Received bytes of the next response.
    raw: Vec<u8>,
    to: AcmeUrl,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// Whether the connection serves another request.
    keeps: bool,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Get,
    Head,
    /// A signed request.
    Post(&'a str),
}

fn failed(what: &str, why: impl std::fmt::Display) -> AcmeError {
    AcmeError::of_issuer(format!("{what}: {why}"))
}

impl Line {
    /// Connects to the host of a URL.
    pub(crate) async fn open(
        url: &AcmeUrl,
        tls: &ClientTls,
        resolver: Option<&Resolving>,
    ) -> Result<Self, AcmeError> {
        let mut last = None;
        for address in addresses(url, resolver).await?.into_iter().take(MOST_ADDRESSES) {
            match Self::open_to(url, address, tls).await {
                Ok(line) => return Ok(line),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| failed("no address of", &url.host)))
    }

    async fn open_to(url: &AcmeUrl, ip: IpAddr, tls: &ClientTls) -> Result<Self, AcmeError> {
        let address = Addr::Inet(SocketAddr::new(ip, url.port));
        let to = format!("connect() to {address} ({})", url.host);
        let conn = connect(&address, &ConnectOptions::default(), CONNECT).await;
        let conn = conn.map_err(|error| failed(&format!("{to} failed"), OsError(&error.into())))?;
        let conn = match url.is_secure {
            false => conn,
            true => tls::connect(conn, tls, &url.host, CONNECT).await.map_err(|error| {
                failed(&format!("the TLS handshake with {} failed", url.host), error)
            })?,
        };
        Ok(Self { conn, raw: Vec::new(), to: url.clone() })
    }

    /// Whether requests to a URL can use the connection.
    pub(crate) fn serves(&self, url: &AcmeUrl) -> bool {
        self.to.has_origin_of(url)
    }

    /// Sends a request and waits for the whole response. Returns the line as well if it can be used
    /// again.
    pub(crate) async fn ask(
        mut self,
        url: &AcmeUrl,
        request: Request<'_>,
    ) -> Result<(Response, Option<Self>), AcmeError> {
        let asked = self.exchange(url, request);
        let answered = timer::timeout(ANSWER, asked).await;
        let response = match answered {
            Ok(answered) => answered?,
            Err(_) => return Err(failed(&url.host, "no answer in time")),
        };
        let line = (response.keeps && self.raw.is_empty()).then_some(self);
        Ok((response, line))
    }

    async fn exchange(
        &mut self,
        url: &AcmeUrl,
        request: Request<'_>,
    ) -> Result<Response, AcmeError> {
        let (method, body) = match request {
            Request::Get => ("GET", None),
            Request::Head => ("HEAD", None),
            Request::Post(body) => ("POST", Some(body)),
        };
        let mut head = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: weir/{}\r\nAccept-Language: en\r\n",
            url.path,
            url.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(body) = body {
            head.push_str("Content-Type: application/jose+json\r\n");
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let parts = [head.as_bytes(), body.unwrap_or_default().as_bytes()];
        let sent = self.conn.send_all(&parts, ANSWER).await;
        sent.map_err(|error| failed("send() failed", OsError(&error)))?;
        let is_head = matches!(request, Request::Head);
        self.receive(is_head).await.map_err(|why| failed(&url.host, why))
    }

    async fn receive(&mut self, is_head: bool) -> Result<Response, Broken> {
        let mut parser = ResponseParser::new();
        let mut headers = Headers::new();
        loop {
            match parser.advance(&self.raw, MAX_HEAD).map_err(|_| Broken::NoHttp)? {
                None => self.more().await?,
                Some(length) if (100..200).contains(&parser.head().status) => {
                    self.raw.drain(..length);
                    parser.reset();
                }
                Some(length) => {
                    parser.give_lines(&self.raw[..length], &mut headers);
                    self.raw.drain(..length);
                    break;
                }
            }
        }
        let head = parser.head();
        let (status, framing) = (head.status, head.framing(is_head));
        let keeps = !head.close && framing != Framing::UntilClose;
        let mut body = Body::of(framing);
        let mut content = Vec::new();
        while !body.take(&mut self.raw, &mut content)? {
            match self.more().await {
                Err(Broken::Closed) if body == Body::UntilClose => break,
                received => received?,
            }
        }
        Ok(Response { status, headers, body: content, keeps })
    }

    async fn more(&mut self) -> Result<(), Broken> {
        let Self { conn, raw, .. } = self;
        match poll_fn(|cx| conn.poll_recv(cx, raw, READ)).await {
            Ok(0) => Err(Broken::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(Broken::Receive(OsError(&error).to_string())),
        }
    }
}

/// Why there is no response.
#[derive(Debug)]
enum Broken {
    Closed,
    NoHttp,
    TooLong,
    Receive(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed amid an answer"),
            Self::NoHttp => f.write_str("the answer is not HTTP"),
            Self::TooLong => write!(f, "the answer is longer than {} KiB", MAX_BODY >> 10),
            Self::Receive(why) => write!(f, "recv() failed ({why})"),
        }
    }
}

/// What is to come of a body.
#[derive(Debug)]
enum Body {
    Length(u64),
    Chunks(Chunked),
    UntilClose,
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Body {
    fn of(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunks(Chunked::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Moves what was received to the content. Returns whether it is complete.
    fn take(&mut self, raw: &mut Vec<u8>, content: &mut Vec<u8>) -> Result<bool, Broken> {
        let is_complete = match self {
            Self::UntilClose => {
                content.append(raw);
                false
            }
            Self::Length(left) => {
                if *left > MAX_BODY as u64 {
                    return Err(Broken::TooLong);
                }
                let count = raw.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                content.extend(raw.drain(..count));
                *left -= count as u64;
                *left == 0
            }
            Self::Chunks(chunked) => {
                let joined = chunked.join(raw).map_err(|_| Broken::NoHttp)?;
                content.extend_from_slice(&raw[joined.data]);
                raw.drain(..joined.used);
                joined.ended
            }
        };
        if content.len() > MAX_BODY { Err(Broken::TooLong) } else { Ok(is_complete) }
    }
}

/// The addresses of a host: by `resolver`, or else from the system.
async fn addresses(url: &AcmeUrl, resolver: Option<&Resolving>) -> Result<Vec<IpAddr>, AcmeError> {
    if let Ok(address) = url.host.parse() {
        return Ok(vec![address]);
    }
    if let Some((resolver, timeout)) = resolver {
        let found = resolver.resolve(&url.host, *timeout).await;
        return found
            .map(|found| found.addresses)
            .map_err(|error| AcmeError::of_issuer(error.to_string()));
    }
    let host = url.host.clone();
    let found = on_a_thread(move || (host.as_str(), 0).to_socket_addrs().map(Vec::from_iter)).await;
    let what = format!("the addresses of {} cannot be found", url.host);
    match found {
        Ok(Ok(found)) => Ok(found.into_iter().map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(failed(&what, error)),
        Err(_) => Err(AcmeError::of_issuer(what)),
    }
}
