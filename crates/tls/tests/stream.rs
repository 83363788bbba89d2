//! Both sides of a session over pipes that cut what is written anywhere.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tls::{ClientSide, Context, Identity, Settings, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// An authority and a certificate that it has signed, and what is made from them.
fn sides() -> (TempDir, Context, ClientSide) {
    let dir = TempDir::new().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let cert = cert.signed_by(&key, &issuer).unwrap();
    let place = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let own = Identity {
        cert: place("own.crt", cert.pem()),
        key: place("own.key", key.serialize_pem()),
        pass: None,
    };
    let settings = Settings {
        server: Some(own.clone()),
        client: Some(own),
        ca_file: Some(place("ca.crt", ca.pem())),
        sessions: Some((100, 300)),
        ..Settings::default()
    };
    let context = Context::new(&settings).unwrap();
    let client = ClientSide::new(&settings, false, None).unwrap();
    (dir, context, client)
}

/// What `openssl req -x509` makes: a certificate that has signed itself and may sign others; it ends at the end of a year.
fn alone(dir: &TempDir, name: &str, year: i32) -> Identity {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    let key = KeyPair::generate().unwrap();
    let place = |end: &str, text: String| {
        let path = dir.path().join(format!("{name}.{end}"));
        std::fs::write(&path, text).unwrap();
        path
    };
    Identity {
        cert: place("crt", params.self_signed(&key).unwrap().pem()),
        key: place("key", key.serialize_pem()),
        pass: None,
    }
}

#[tokio::test]
async fn who_shows_a_certificate_that_is_trusted_itself_is_believed() {
    let dir = TempDir::new().unwrap();
    let good = alone(&dir, "good", 2099);
    for (name, shown, believed) in [
        ("itself", good.clone(), true),
        ("another one", alone(&dir, "other", 2099), false),
        ("one that has ended", alone(&dir, "ended", 2020), false),
    ] {
        let trusted = if name == "another one" { &good } else { &shown };
        let side = |own: &Identity, trusted: &Identity| Settings {
            server: Some(own.clone()),
            client: Some(own.clone()),
            ca_file: Some(trusted.cert.clone()),
            ..Settings::default()
        };
        // The server shows it, or the client does.
        for (server, client) in [
            (side(&shown, &good), side(&good, trusted)),
            (side(&good, trusted), side(&shown, &good)),
        ] {
            let context = Context::new(&server).unwrap();
            let client = ClientSide::new(&client, false, None).unwrap();
            let (near, far) = duplex(10_000);
            let talk = async {
                let mut far = tls::connect(far, &client).await.ok()?;
                let mut answer = [0];
                // With TLS 1.3 a client learns only from the first answer whether it is believed.
                far.read_exact(&mut answer).await.ok()
            };
            let serve = async {
                let mut near = tls::accept(near, &context.clients).await.ok()?;
                near.write_all(b"x").await.ok()?;
                near.flush().await.ok()
            };
            let (talked, served) = tokio::join!(talk, serve);
            assert_eq!(talked.is_some() && served.is_some(), believed, "{name}");
        }
    }
}

async fn session(
    context: &Context,
    client: &ClientSide,
    pipe: usize,
) -> (Stream<DuplexStream>, Stream<DuplexStream>) {
    let (near, far) = duplex(pipe);
    let (near, far) = tokio::join!(
        tls::accept(near, &context.clients),
        tls::connect(far, client)
    );
    (near.unwrap(), far.unwrap())
}

#[tokio::test]
async fn what_is_said_comes_whole_however_it_is_cut() {
    let (_dir, context, client) = sides();
    for pipe in [1, 7, 100, 5000, 100_000] {
        let (near, far) = duplex(pipe);
        let said: Vec<u8> = (0..=255).cycle().take(150_000).collect();
        let hearing = async {
            let mut server = tls::accept(near, &context.clients).await.unwrap();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            server.shutdown().await.unwrap();
            heard
        };
        // A short pipe does not hold what the server says of the session: who speaks has to listen too.
        let speaking = async {
            let client = tls::connect(far, &client).await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(client);
            let mut answer = Vec::new();
            let write = async {
                for part in said.chunks(33_333) {
                    writer.write_all(part).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(reader.read_to_end(&mut answer), write);
            read.unwrap()
        };
        let (answered, heard) = tokio::join!(speaking, hearing);
        assert_eq!(answered, 0);
        assert!(heard == said, "through a pipe of {pipe}");
    }
}

#[tokio::test]
async fn a_short_read_leaves_the_rest_at_hand() {
    let (_dir, context, client) = sides();
    let (mut server, mut client) = session(&context, &client, 100_000).await;
    client.write_all(&[7; 40_000]).await.unwrap();
    client.flush().await.unwrap();
    let mut one = [0; 1];
    for _ in 0..40_000 {
        server.read_exact(&mut one).await.unwrap();
        assert_eq!(one, [7]);
    }
    assert!(!server.session().has_input());
}

#[tokio::test]
async fn what_is_no_record_ends_the_session() {
    let (_dir, context, client) = sides();
    let (server, client) = session(&context, &client, 100_000).await;
    let (mut socket, _session) = client.into_parts();
    socket.write_all(&[23, 3, 3, 0, 20]).await.unwrap();
    socket.write_all(&[9; 20]).await.unwrap();
    let mut server = server;
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let (_dir, context, _) = sides();
    let (_other, _, stranger) = sides();
    let (near, far) = duplex(100_000);
    let (near, far) = tokio::join!(
        tls::accept(near, &context.clients),
        tls::connect(far, &stranger)
    );
    assert!(near.is_err() && far.is_err());
}

#[tokio::test]
async fn who_does_not_speak_tls_hears_nothing() {
    let (_dir, context, _) = sides();
    let (near, mut far) = duplex(1000);
    far.write_all(b"PING\r\n").await.unwrap();
    assert!(tls::accept(near, &context.clients).await.is_err());
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"");
}
