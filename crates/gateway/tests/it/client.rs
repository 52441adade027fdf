//! What stands in front of the gateway: HTTP/1 byte by byte, and HTTP/2 by hyper.

use std::net::SocketAddr;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::origin::{AnyBody, AnyStream, full};
use crate::world::{until, within};

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("?"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("?")
    }

    /// Status and reason in short.
    pub(crate) fn verdict(&self) -> String {
        format!("{} {}", self.status, self.header("x-plimsoll-reason"))
            .trim_end()
            .to_owned()
    }

    /// What the problem document says under `key`.
    pub(crate) fn problem(&self, key: &str) -> &str {
        let key = format!("\"{key}\":");
        let at = self
            .text()
            .find(&key)
            .map_or(self.text().len(), |at| at + key.len());
        let value = self.text()[at..].trim_start_matches('"');
        value.split(['"', ',', '}']).next().unwrap_or("")
    }
}

/// An HTTP/1 connection, spoken by hand.
pub(crate) struct Wire {
    stream: AnyStream,
    ahead: Vec<u8>,
    port: u16,
}

impl Wire {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let port = stream.local_addr().unwrap().port();
        Self {
            port,
            ..Self::over(Box::new(stream))
        }
    }

    pub(crate) async fn to_unix(path: &Path) -> Self {
        Self::over(Box::new(UnixStream::connect(path).await.unwrap()))
    }

    pub(crate) fn over(stream: AnyStream) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            port: 0,
        }
    }

    /// Waits until the gateway has read all that was sent: until nothing is left in its socket's receive queue.
    pub(crate) async fn settle(&self) {
        let remote = format!(":{:04X}", self.port);
        until("the gateway to read", || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let mut sockets = sockets
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            sockets.any(|socket| socket[2].ends_with(&remote) && socket[4].ends_with(":00000000"))
        })
        .await;
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("sending", self.stream.write_all(bytes.as_ref()))
            .await
            .expect("the gateway reads");
        within("sending", self.stream.flush())
            .await
            .expect("the gateway reads");
    }

    /// Sends what the gateway may not care to read.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        drop(within("sending", self.stream.write_all(bytes)).await);
    }

    /// One request and its answer; `headers` are whole lines.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = match (method, body.len()) {
            ("GET" | "HEAD", 0) => String::new(),
            (_, length) => format!("Content-Length: {length}\r\n"),
        };
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}{length}\r\n"
        ))
        .await;
        self.send(body).await;
        if method == "HEAD" {
            self.answer_without_body().await
        } else {
            self.answer().await
        }
    }

    /// The next answer, body and all.
    pub(crate) async fn answer(&mut self) -> Answer {
        let answer = self.try_answer().await;
        answer.unwrap_or_else(|| panic!("no answer, but {:?}", String::from_utf8_lossy(&self.ahead)))
    }

    /// The next answer, body and all, if one comes.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let (status, headers) = self.try_head().await?;
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
            trailers: HeaderMap::new(),
            whole: true,
        };
        let chunked = answer.header("transfer-encoding") == "chunked";
        let length = answer.header("content-length").parse().ok();
        if matches!(status, 100..200 | 204 | 304) {
            return Some(answer);
        }
        let read = within("a body", async {
            match (chunked, length) {
                (true, _) => self.chunks(&mut answer).await,
                (_, Some(length)) => {
                    let left = length;
                    self.exactly(left, &mut answer.body).await
                }
                _ => self.rest(&mut answer.body).await,
            }
        });
        answer.whole = read.await.is_some();
        Some(answer)
    }

    /// The next answer, which is to a HEAD.
    pub(crate) async fn answer_without_body(&mut self) -> Answer {
        let (status, headers) = self.head().await;
        Answer {
            status,
            headers,
            body: Vec::new(),
            trailers: HeaderMap::new(),
            whole: true,
        }
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> (u16, HeaderMap) {
        let head = self.try_head().await;
        head.unwrap_or_else(|| panic!("no answer, but {:?}", String::from_utf8_lossy(&self.ahead)))
    }

    async fn try_head(&mut self) -> Option<(u16, HeaderMap)> {
        let head = within("an answer", self.until(b"\r\n\r\n")).await?;
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        Some((
            status.unwrap_or_else(|| panic!("no answer: {head:?}")),
            fields(lines),
        ))
    }

    async fn chunks(&mut self, answer: &mut Answer) -> Option<()> {
        loop {
            let size = self.until(b"\r\n").await?;
            let size = usize::from_str_radix(std::str::from_utf8(&size).ok()?.trim_end(), 16).ok()?;
            if size == 0 {
                let mut trailers = Vec::new();
                loop {
                    let line = self.until(b"\r\n").await?;
                    if line == b"\r\n" {
                        break;
                    }
                    trailers.push(String::from_utf8(line).ok()?);
                }
                answer.trailers = fields(trailers.iter().map(|line| line.trim_end()));
                return Some(());
            }
            self.exactly(size, &mut answer.body).await?;
            self.until(b"\r\n").await?;
        }
    }

    /// Everything up to and including `end`; `None` if the connection ends before.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut searched = 0usize;
        loop {
            let from = searched.saturating_sub(end.len());
            if let Some(at) = self.ahead[from..]
                .windows(end.len())
                .position(|window| window == end)
            {
                let rest = self.ahead.split_off(from + at + end.len());
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            searched = self.ahead.len();
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        let mut left = length;
        loop {
            let taken = left.min(self.ahead.len());
            into.extend(self.ahead.drain(..taken));
            left -= taken;
            if left == 0 {
                return Some(());
            }
            self.more().await?;
        }
    }

    async fn rest(&mut self, into: &mut Vec<u8>) -> Option<()> {
        loop {
            into.append(&mut self.ahead);
            let read = self.stream.read_buf(&mut self.ahead).await.ok()?;
            if read == 0 {
                return Some(());
            }
        }
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.ahead).await.ok()?;
        (read > 0).then_some(())
    }

    /// Waits for the end of the connection, and says what came before it.
    pub(crate) async fn closed(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _end = within("the connection to end", self.rest(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// How many bytes were read ahead, and the stream.
    pub(crate) fn into_parts(self) -> (usize, AnyStream) {
        (self.ahead.len(), self.stream)
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let fields = lines.filter_map(|line| line.split_once(':'));
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a header name");
        map.append(name, HeaderValue::from_str(value.trim()).expect("a header value"));
    }
    map
}

/// An HTTP/2 connection.
pub(crate) struct Http2 {
    sender: http2::SendRequest<AnyBody>,
}

impl Http2 {
    /// By prior knowledge.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(Box::new(stream)).await
    }

    pub(crate) async fn over(stream: AnyStream) -> Self {
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self { sender }
    }

    /// A GET.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::builder().uri(format!("http://test{path}"));
        gather(self.send(request.body(full("")).unwrap()).await.unwrap()).await
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<AnyBody>) -> hyper::Result<Response<Incoming>> {
        within("the connection", self.sender.ready()).await?;
        within("an answer", self.sender.send_request(request)).await
    }

    /// Whether the connection takes no more requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) fn sender(&self) -> http2::SendRequest<AnyBody> {
        self.sender.clone()
    }
}

/// Reads an answer to its end.
pub(crate) async fn gather(response: Response<Incoming>) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: Vec::new(),
        trailers: HeaderMap::new(),
        whole: true,
    };
    while let Some(frame) = within("a frame", incoming.frame()).await {
        let Ok(frame) = frame else {
            answer.whole = false;
            break;
        };
        match frame.into_data() {
            Ok(data) => answer.body.extend_from_slice(&data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    answer
}
