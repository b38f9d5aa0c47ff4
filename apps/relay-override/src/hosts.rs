//! `REDIS_HOSTS`: which Redis servers there are, and how to get in.
//!
//! Pure, save for the files that the environment names. A host's name for people never holds its
//! user or password; those stay inside the Redis client's own type, which does not print them.

use redis::{
    ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates,
};
use thiserror::Error;
use url::Url;

use crate::environment::{self, Environment, EnvironmentError};

const SENTINEL_PORT: u16 = 26379;
const FORMS: &str = "host, host:port, redis://[user:password@]host[:port][/db], rediss:// for TLS, unix:///path, \
                     or redis+sentinel://[user:password@]host[:port]/PRIMARY[/db]";

/// Why the hosts are not known.
#[derive(Debug, Error)]
pub enum HostsError {
    /// The environment lacks something.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// An entry that is no host.
    #[error("read REDIS_HOSTS: {entry:?} is not a host ({reason}); it may be {FORMS}")]
    Entry {
        /// The entry, without what may be a secret in it.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing but commas.
    #[error("read REDIS_HOSTS: no host in it; it may be a list, separated by commas, of {FORMS}")]
    Empty,
    /// Only one half of a client certificate.
    #[error("set up TLS: {0} is set and {1} is not; both or none are needed")]
    Half(&'static str, &'static str),
}

/// One Redis to override flags in.
#[derive(Debug, Clone)]
pub struct Host {
    /// How people know it: `host:port`, with `/db` where it is not database 0.
    pub name: String,
    /// How to get there.
    pub route: Route,
    /// Certificates for TLS, where others than the bundled ones are used.
    pub tls: Option<TlsCertificates>,
}

/// How to get to a Redis.
#[derive(Debug, Clone)]
pub enum Route {
    /// Straight.
    Direct(ConnectionInfo),
    /// To whichever server the sentinels call the primary now.
    Sentinel {
        /// What the sentinels call it.
        primary: String,
        /// Where sentinels are.
        sentinels: Vec<ConnectionInfo>,
        /// User, password and database of the primary itself.
        settings: Box<RedisConnectionInfo>,
        /// Whether the primary speaks TLS.
        is_tls: bool,
    },
}

impl Host {
    /// Whether TLS is needed at all.
    pub fn is_tls(&self) -> bool {
        match &self.route {
            Route::Direct(info) => matches!(info.addr(), ConnectionAddr::TcpTls { .. }),
            Route::Sentinel { is_tls, .. } => *is_tls,
        }
    }
}

/// Reads `REDIS_HOSTS` and the variables that go with it. The same host twice counts once;
/// sentinels of one primary count as one host.
///
/// # Errors
/// Where an entry is no host, or a file that the environment names cannot be read.
pub fn from_environment(environment: &Environment) -> Result<Vec<Host>, HostsError> {
    let list = environment.require(environment::REDIS_HOSTS, "the Relay Proxy's Redis hosts")?;
    let credentials = Credentials::read(environment)?;
    let tls = certificates(environment)?;
    let mut hosts: Vec<Host> = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, route) = parse(entry, &credentials)
            .map_err(|reason| HostsError::Entry { entry: without_credentials(entry), reason })?;
        match (hosts.iter_mut().find(|host| host.name == name), route) {
            (Some(Host { route: Route::Sentinel { sentinels, .. }, .. }), Route::Sentinel { sentinels: more, .. }) => {
                sentinels.extend(more);
            }
            (Some(_), _) => {}
            (None, route) => hosts.push(Host { name, route, tls: tls.clone() }),
        }
    }
    if hosts.is_empty() { Err(HostsError::Empty) } else { Ok(hosts) }
}

/// User and password for the entries that have none.
struct Credentials {
    user: Option<String>,
    password: Option<String>,
}

impl Credentials {
    fn read(environment: &Environment) -> Result<Self, EnvironmentError> {
        let from_file = environment.file(environment::REDIS_PASSWORD_FILE)?;
        let from_file =
            from_file.map(|content| String::from_utf8_lossy(&content).trim_end_matches(['\r', '\n']).to_owned());
        let password = environment.get(environment::REDIS_PASSWORD).map(str::to_owned).or(from_file);
        Ok(Self { user: environment.get(environment::REDIS_USERNAME).map(str::to_owned), password })
    }

    fn add_to(&self, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
        if settings.password().is_none() {
            if let (None, Some(user)) = (settings.username(), &self.user) {
                settings = settings.set_username(user);
            }
            if let Some(password) = &self.password {
                settings = settings.set_password(password);
            }
        }
        settings
    }
}

fn certificates(environment: &Environment) -> Result<Option<TlsCertificates>, HostsError> {
    let root_cert = environment.file(environment::REDIS_CA_FILE)?;
    let client_cert = environment.file(environment::REDIS_CLIENT_CERT_FILE)?;
    let client_key = environment.file(environment::REDIS_CLIENT_KEY_FILE)?;
    let client_tls = match (client_cert, client_key) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err(HostsError::Half(environment::REDIS_CLIENT_CERT_FILE, environment::REDIS_CLIENT_KEY_FILE));
        }
        (None, Some(_)) => {
            return Err(HostsError::Half(environment::REDIS_CLIENT_KEY_FILE, environment::REDIS_CLIENT_CERT_FILE));
        }
    };
    Ok((root_cert.is_some() || client_tls.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}

fn parse(entry: &str, credentials: &Credentials) -> Result<(String, Route), String> {
    let text = if entry.contains("://") { entry.to_owned() } else { format!("redis://{entry}") };
    let url = Url::parse(&text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "redis" | "rediss" | "unix" | "redis+unix" => {
            // The `#insecure` of some clients would switch the certificate check off.
            if url.fragment().is_some() {
                return Err("nothing may follow a `#`; encode it as %23 in a password".to_owned());
            }
            if entry != text && (url.path().len() > 1 || url.query().is_some()) {
                return Err("a path needs a URL".to_owned());
            }
            let database = url.path().trim_matches('/');
            if url.scheme().starts_with("redis")
                && url.has_host()
                && !database.is_empty()
                && database.parse::<u32>().is_err()
            {
                return Err(format!("the database {database:?} is no number"));
            }
            let info = url.into_connection_info().map_err(|error| reason(&error))?;
            let settings = credentials.add_to(info.redis_settings().clone());
            let info = info.set_redis_settings(settings);
            Ok((name(&info), Route::Direct(info)))
        }
        "redis+sentinel" | "rediss+sentinel" => sentinel(&url, credentials),
        other => Err(format!("the scheme {other} is not known")),
    }
}

fn sentinel(url: &Url, credentials: &Credentials) -> Result<(String, Route), String> {
    let mut path = url.path().trim_matches('/').split('/');
    let primary = path.next().filter(|name| !name.is_empty()).ok_or("the primary's name is missing")?.to_owned();
    let database = path.next().unwrap_or("0").parse::<i64>().map_err(|_| "the database is no number")?;
    let host = url.host_str().ok_or("the host is missing")?;
    let port = url.port().unwrap_or(SENTINEL_PORT);
    let sentinel = format!("redis://{host}:{port}").into_connection_info().map_err(|error| reason(&error))?;
    let with_user = Url::parse(&format!("redis://{}@{host}", user_info(url))).map_err(|error| error.to_string())?;
    let info = with_user.into_connection_info().map_err(|error| reason(&error))?;
    let settings = credentials.add_to(info.redis_settings().clone().set_db(database));
    let is_tls = url.scheme().starts_with("rediss");
    let name = format!("{primary}{}", database_suffix(database));
    Ok((name, Route::Sentinel { primary, sentinels: vec![sentinel], settings: Box::new(settings), is_tls }))
}

fn user_info(url: &Url) -> String {
    format!("{}{}", url.username(), url.password().map_or(String::new(), |password| format!(":{password}")))
}

fn name(info: &ConnectionInfo) -> String {
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } if host.contains(':') => {
            format!("[{host}]:{port}")
        }
        other => other.to_string(),
    };
    format!("{address}{}", database_suffix(info.redis_settings().db()))
}

fn database_suffix(database: i64) -> String {
    if database == 0 { String::new() } else { format!("/{database}") }
}

fn reason(error: &redis::RedisError) -> String {
    error.category().to_owned() + &error.detail().map_or(String::new(), |detail| format!(": {detail}"))
}

/// `entry` without what stands before an `@`, save the scheme.
fn without_credentials(entry: &str) -> String {
    let (scheme, rest) = entry.split_once("://").map_or(("", entry), |(scheme, rest)| (scheme, rest));
    let shown = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    let shown = shown.split(['?', '#']).next().unwrap_or_default().to_owned();
    if scheme.is_empty() { shown } else { format!("{scheme}://{shown}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(pairs: &[(&str, &str)]) -> Result<Vec<Host>, HostsError> {
        from_environment(&Environment::from_pairs(pairs.iter().copied()))
    }

    fn names(list: &str) -> Vec<String> {
        hosts(&[("REDIS_HOSTS", list)]).unwrap().into_iter().map(|host| host.name).collect()
    }

    fn settings(host: &Host) -> (Option<&str>, Option<&str>, i64, bool) {
        let settings = match &host.route {
            Route::Direct(info) => info.redis_settings(),
            Route::Sentinel { settings, .. } => settings,
        };
        (settings.username(), settings.password(), settings.db(), host.is_tls())
    }

    #[test]
    fn hosts_are_named_without_their_secrets() {
        assert_eq!(
            names(" a, b:7000 ,,redis://u:p@c/3,rediss://d:1,[::1]:6380,127.0.0.1,unix:///run/redis.sock,a:6379"),
            ["a:6379", "b:7000", "c:6379/3", "d:1", "[::1]:6380", "127.0.0.1:6379", "/run/redis.sock"]
        );
    }

    #[test]
    fn urls_carry_user_password_database_and_tls() {
        let all = hosts(&[
            ("REDIS_HOSTS", "a,rediss://u:p%40%2C@b/2,redis://:q@c,redis://v@d"),
            ("REDIS_USERNAME", "app"),
            ("REDIS_PASSWORD", "s"),
        ])
        .unwrap();
        assert_eq!(settings(&all[0]), (Some("app"), Some("s"), 0, false));
        assert_eq!(settings(&all[1]), (Some("u"), Some("p@,"), 2, true));
        assert_eq!(settings(&all[2]), (None, Some("q"), 0, false));
        assert_eq!(settings(&all[3]), (Some("v"), Some("s"), 0, false));
        assert!(!format!("{all:?}").contains("p@,"));
    }

    #[test]
    fn the_password_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        let path = file.path().to_str().unwrap();
        let all = hosts(&[("REDIS_HOSTS", "a"), ("REDIS_PASSWORD_FILE", path)]).unwrap();
        assert_eq!(settings(&all[0]).1, Some("from file"));
    }

    #[test]
    fn sentinels_of_one_primary_are_one_host() {
        let all = hosts(&[("REDIS_HOSTS", "redis+sentinel://u:p@s1/main/1,rediss+sentinel://s2:7/main/1")]).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].name.as_str(), settings(&all[0])), ("main/1", (Some("u"), Some("p"), 1, false)));
        let Route::Sentinel { primary, sentinels, .. } = &all[0].route else { panic!("{all:?}") };
        let addresses: Vec<_> = sentinels.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!((primary.as_str(), addresses), ("main", vec!["s1:26379".to_owned(), "s2:7".to_owned()]));
    }

    #[test]
    fn a_wrong_entry_is_named_without_its_secrets() {
        for (list, expected) in [
            ("a:b", "\"a:b\" is not a host (invalid port number)"),
            ("a:99999", "\"a:99999\" is not a host (invalid port number)"),
            ("http://u:secret@a", "\"http://…@a\" is not a host (the scheme http is not known)"),
            ("redis://u:secret@a/x", "\"redis://…@a/x\" is not a host (the database \"x\" is no number)"),
            (
                "rediss://:secret@a#insecure",
                "\"rediss://…@a\" is not a host (nothing may follow a `#`; encode it as %23 in a password)",
            ),
            ("a/1", "\"a/1\" is not a host (a path needs a URL)"),
            ("redis+sentinel://a", "\"redis+sentinel://a\" is not a host (the primary's name is missing)"),
        ] {
            let text = hosts(&[("REDIS_HOSTS", list)]).unwrap_err().to_string();
            assert!(text.starts_with(&format!("read REDIS_HOSTS: {expected}; it may be host")), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(
            hosts(&[("REDIS_HOSTS", " , ")]).unwrap_err().to_string().starts_with("read REDIS_HOSTS: no host in it")
        );
        assert!(hosts(&[]).unwrap_err().to_string().starts_with("REDIS_HOSTS is not set"));
    }
}
