//! Getting a connection: straight, by way of sentinels, or to where a cluster points.
//!
//! TLS is set up only where a host asks for it, with *ring* and the bundled authorities or the
//! user's own.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, TlsMode,
};

use crate::hosts::{Host, Route};

pub(super) async fn connect(host: &Host, timeout: Duration) -> RedisResult<MultiplexedConnection> {
    if host.is_tls() {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let info = match &host.route {
        Route::Direct(info) => info.clone(),
        Route::Sentinel { primary, sentinels, settings, is_tls } => {
            let mut sentinel = Sentinel::build(sentinels.clone())?;
            let mut node = SentinelNodeConnectionInfo::default().set_redis_connection_info((**settings).clone());
            if *is_tls {
                node = node.set_tls_mode(TlsMode::Secure);
            }
            sentinel.async_master_for(primary, Some(&node)).await?.get_connection_info().clone()
        }
    };
    open(host, info, timeout).await
}

/// Connects to the server that `moved` names, with the host's own credentials.
pub(super) async fn connect_elsewhere(
    host: &Host,
    moved: &RedisError,
    timeout: Duration,
) -> RedisResult<MultiplexedConnection> {
    let node = moved.redirect_node().and_then(|(node, _slot)| node_address(node));
    let (Route::Direct(info), Some((name, port))) = (&host.route, node) else {
        return Err((ErrorKind::InvalidClientConfig, "the server's redirection cannot be followed").into());
    };
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(host, own_port) | ConnectionAddr::TcpTls { host, port: own_port, .. } => {
            if !name.is_empty() {
                name.clone_into(host);
            }
            *own_port = port;
        }
        _ => {}
    }
    open(host, info.clone().set_addr(address), timeout).await
}

/// Host and port of `HOST:PORT`, as a server of a cluster names another; the host may be empty, for its own.
fn node_address(node: &str) -> Option<(&str, u16)> {
    let (host, port) = node.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

async fn open(host: &Host, info: ConnectionInfo, timeout: Duration) -> RedisResult<MultiplexedConnection> {
    let client = match &host.tls {
        Some(certificates) if host.is_tls() => Client::build_with_tls(info, certificates.clone())?,
        _ => Client::open(info)?,
    };
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
    client.get_multiplexed_async_connection_with_config(&config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_address_ends_in_its_port() {
        for (node, expected) in [
            ("127.0.0.1:7001", Some(("127.0.0.1", 7001))),
            (":7001", Some(("", 7001))),
            ("2001:db8::1:7001", Some(("2001:db8::1", 7001))),
            ("[2001:db8::1]:7001", Some(("2001:db8::1", 7001))),
            ("redis-2.example:7001", Some(("redis-2.example", 7001))),
            ("redis-2.example", None),
            ("redis-2.example:99999", None),
        ] {
            assert_eq!(node_address(node), expected, "{node}");
        }
    }
}
