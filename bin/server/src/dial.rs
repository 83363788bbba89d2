//! Connections to others, from the address that is configured for them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream, ToSocketAddrs, lookup_host};

/// Connects to the first address of `to` that answers, from `source` (`bind-source-addr`) if there is one.
pub(crate) async fn connect(
    source: Option<&[u8]>,
    to: impl ToSocketAddrs,
) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(to).await;
    };
    let source = std::str::from_utf8(source).ok();
    let source: IpAddr = source.and_then(|text| text.parse().ok()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "bind-source-addr is no address",
        )
    })?;
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in lookup_host(to)
        .await?
        .filter(|to| to.is_ipv4() == source.is_ipv4())
    {
        match connect_from(source, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_from(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(to).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_other_side_sees_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let stream = connect(Some(b"127.0.0.2"), to).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.2");
        drop(stream);
        assert!(connect(None, to).await.is_ok());
        assert!(connect(Some(b"::1"), to).await.is_err(), "another family");
        assert!(connect(Some(b"nowhere"), to).await.is_err());
    }
}
