//! TLS for real: a server with a certificate of the test's own authority.

use crate::config::from_lookup;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

/// A server of `https://localhost`, and its authority as PEM.
struct Server {
    url: String,
    authority: String,
}

fn start() -> Server {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let session = ServerConnection::new(tls.clone()).unwrap();
            let _ = answer(StreamOwned::new(session, connection.unwrap()));
        }
    });
    Server { url, authority }
}

fn answer(connection: impl Read + Write) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    connection.read_exact(&mut vec![0; length])?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"TableNames\":[\"flags\"]}";
    connection.get_mut().write_all(answer)
}

/// What listing the tables there comes to, with these authorities.
async fn tables(server: &Server, bundle: Option<&str>) -> Result<Vec<String>, String> {
    let lookup = |name: &str| match name {
        "AWS_ENDPOINT_URL" => Some(server.url.clone()),
        "AWS_CA_BUNDLE" => bundle.map(str::to_owned),
        "AWS_REGION" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        "AWS_MAX_ATTEMPTS" => Some("1".to_owned()),
        _ => None,
    };
    let config = from_lookup(&lookup).await.unwrap();
    let answer = crate::dynamodb(&config).list_tables().send().await;
    let place = crate::Place { resource: "flags", region: "test", endpoint: &server.url };
    answer.map(|answer| answer.table_names.unwrap_or_default()).map_err(|error| crate::explain(&error, &place).message)
}

#[tokio::test]
async fn a_server_is_believed_when_its_authority_is() {
    let server = start();
    let bundle = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bundle.path(), &server.authority).unwrap();
    assert_eq!(tables(&server, bundle.path().to_str()).await, Ok(vec!["flags".to_owned()]));
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused() {
    let message = tables(&start(), None).await.unwrap_err();
    assert!(message.contains("UnknownIssuer"), "{message}");
}

#[tokio::test]
async fn a_bundle_that_cannot_be_read_is_named_when_tls_is_needed() {
    let message = tables(&start(), Some("/nowhere/bundle.pem")).await.unwrap_err();
    assert!(message.contains("AWS_CA_BUNDLE=/nowhere/bundle.pem"), "{message}");
}
