use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::serve;
use super::*;

#[tokio::test]
async fn both_protocols_are_spoken_and_closing_ends_both() {
    let bench = bench();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = serve(listener, Arc::clone(&bench.config), bench.closes.subscribe());
    let clients = async {
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 15];
        plain.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        // The preface of h2 in two parts, then empty settings: the server's settings come back.
        let mut framed = TcpStream::connect(address).await.unwrap();
        framed.write_all(b"PR").await.unwrap();
        framed
            .write_all(b"I * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        let mut head = [0; 9];
        framed.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4);
        bench.closes.send_replace(true);
        let mut rest = Vec::new();
        plain.read_to_end(&mut rest).await.unwrap();
        // This client does not answer the ping that ends an h2 connection, so it goes, and is not waited for.
        drop(framed);
    };
    tokio::join!(serving, clients);
    assert!(TcpStream::connect(address).await.is_err());
}
