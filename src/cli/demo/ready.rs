//! Whether a program answers yet.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whether a GET of `path` on this machine's `port` is answered with 200.
pub(super) async fn answers(port: u16, path: &str) -> bool {
    timeout(ANSWER_MAX, ask(port, path)).await.is_ok_and(|answer| answer.is_ok_and(|well| well))
}

async fn ask(port: u16, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status_line = [0_u8; 12];
    stream.read_exact(&mut status_line).await?;
    Ok(&status_line == b"HTTP/1.1 200")
}
