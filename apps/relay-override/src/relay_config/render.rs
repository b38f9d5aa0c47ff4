//! The configuration's text, from what is known; pure.

use std::collections::HashMap;

use flagcache_launchdarkly::endpoints;
use flagcache_launchdarkly::rest::Environment as LdEnvironment;
use redis::ConnectionAddr;
use secrecy::ExposeSecret;

use super::ini::Ini;
use crate::environment::{self, Environment};
use crate::hosts::{Host, Route};
use crate::redis_store::KeyPrefix;

/// The one Redis of a Relay Proxy.
#[derive(Clone, Default)]
pub struct RedisSection {
    host: String,
    port: u16,
    database: i64,
    is_tls: bool,
    user: Option<String>,
    password: Option<String>,
    files: Vec<(&'static str, String)>,
}

impl RedisSection {
    /// From a host; nothing where the Relay Proxy cannot use such a one.
    pub fn of(host: &Host) -> Option<Self> {
        let Route::Direct(info) = &host.route else { return None };
        let (address, port, is_tls) = match info.addr() {
            ConnectionAddr::Tcp(address, port) => (address.clone(), *port, false),
            ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port, true),
            _ => return None,
        };
        let settings = info.redis_settings();
        Some(Self {
            host: address,
            port,
            database: settings.db(),
            is_tls,
            user: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            files: Vec::new(),
        })
    }

    /// With the certificates that the environment names, where TLS is used.
    #[must_use]
    pub fn with_files(mut self, variables: &Environment) -> Self {
        if self.is_tls {
            let all = [
                ("caFile", environment::REDIS_CA_FILE),
                ("clientCertificateFile", environment::REDIS_CLIENT_CERT_FILE),
                ("clientKeyFile", environment::REDIS_CLIENT_KEY_FILE),
            ];
            let set = all.into_iter().filter_map(|(key, name)| Some((key, variables.get(name)?.to_owned())));
            self.files = set.collect();
        }
        self
    }

    fn write(&self, ini: &mut Ini) {
        ini.section("Redis");
        if self.database == 0 {
            ini.text("host", &self.host);
            ini.word("port", self.port);
            if self.is_tls {
                ini.word("tls", true);
            }
        } else {
            // The database has no key of its own.
            let scheme = if self.is_tls { "rediss" } else { "redis" };
            let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
            ini.text("url", &format!("{scheme}://{host}:{}/{}", self.port, self.database));
        }
        for (key, value) in [("username", &self.user), ("password", &self.password)] {
            if let Some(value) = value {
                ini.text(key, value);
            }
        }
        for (key, value) in &self.files {
            ini.text(key, value);
        }
        ini.word("localTtl", "30s");
    }
}

/// Where LaunchDarkly is, where it is not where it always is.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    main: Vec<(&'static str, String)>,
    events: Option<String>,
}

impl Endpoints {
    /// From the variables that move it.
    pub fn from_environment(variables: &Environment) -> Self {
        let moved = |variable: &str| variables.get(variable).map(str::to_owned);
        let main = [("streamUri", endpoints::STREAM.variable), ("baseUri", endpoints::BASE.variable)];
        Self {
            main: main.into_iter().filter_map(|(key, variable)| Some((key, moved(variable)?))).collect(),
            events: moved(endpoints::EVENTS.variable),
        }
    }
}

pub(super) fn render(
    project: &str,
    environments: &[LdEnvironment],
    redis: &RedisSection,
    prefix: &KeyPrefix,
    endpoints: &Endpoints,
) -> String {
    let mut ini = Ini::default();
    ini.comment(&format!(
        "Relay Proxy v8, all environments of project {project}. Holds SDK keys: keep it to yourself."
    ));
    ini.section("Main");
    for (key, value) in &endpoints.main {
        ini.text(key, value);
    }
    // What is in Redis is served also where LaunchDarkly is unreachable when the Relay starts.
    ini.word("ignoreConnectionErrors", true);
    if let Some(uri) = &endpoints.events {
        ini.section("Events");
        ini.text("eventsUri", uri);
    }
    redis.write(&mut ini);
    let mut names: HashMap<&str, usize> = HashMap::new();
    for environment in environments {
        *names.entry(environment.name.trim()).or_default() += 1;
    }
    for environment in environments {
        let name = environment.name.trim();
        // Names need not be unique, and the Relay's have to be.
        let is_unique = !name.is_empty() && names.get(name) == Some(&1);
        let name = if is_unique { name.to_owned() } else { format!("{name} {}", environment.key).trim().to_owned() };
        ini.subsection("Environment", &name);
        ini.text("sdkKey", environment.sdk_key.expose_secret());
        ini.text("mobileKey", environment.mobile_key.expose_secret());
        ini.text("envId", &environment.id);
        ini.text("prefix", &prefix.of(project, &environment.key));
        if environment.secure_mode {
            ini.word("secureMode", true);
        }
        if environment.default_ttl_minutes > 0 {
            ini.word("ttl", format_args!("{}m", environment.default_ttl_minutes));
        }
    }
    ini.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosts;

    fn environments(list: serde_json::Value) -> Vec<LdEnvironment> {
        serde_json::from_value(list).unwrap()
    }

    fn redis(pairs: &[(&str, &str)]) -> RedisSection {
        let variables = Environment::from_pairs(pairs.iter().copied());
        RedisSection::of(&hosts::from_environment(&variables).unwrap()[0]).unwrap().with_files(&variables)
    }

    #[test]
    fn every_environment_has_its_keys_and_the_prefix_that_rc_uses() {
        let list = environments(json!([
            { "_id": "id1", "key": "production", "name": "Production", "apiKey": "sdk-1", "mobileKey": "mob-1",
              "secureMode": true, "defaultTtl": 5 },
            { "_id": "id2", "key": "test", "name": "Test \"x\"", "apiKey": "sdk-2", "mobileKey": "mob-2" },
        ]));
        let text =
            render("shop", &list, &redis(&[("REDIS_HOSTS", "r:7000")]), &KeyPrefix::default(), &Endpoints::default());
        assert_eq!(
            text,
            "# Relay Proxy v8, all environments of project shop. Holds SDK keys: keep it to yourself.\n\
             \n[Main]\n    ignoreConnectionErrors = true\n\
             \n[Redis]\n    host = \"r\"\n    port = 7000\n    localTtl = 30s\n\
             \n[Environment \"Production\"]\n    sdkKey = \"sdk-1\"\n    mobileKey = \"mob-1\"\n    envId = \"id1\"\n    \
             prefix = \"ld:shop:production\"\n    secureMode = true\n    ttl = 5m\n\
             \n[Environment \"Test \\\"x\\\"\"]\n    sdkKey = \"sdk-2\"\n    mobileKey = \"mob-2\"\n    envId = \"id2\"\n    \
             prefix = \"ld:shop:test\"\n"
        );
    }

    #[test]
    fn environments_of_one_name_are_told_apart_by_their_keys() {
        let list = environments(json!([
            { "_id": "1", "key": "a", "name": "Same", "apiKey": "s", "mobileKey": "m" },
            { "_id": "2", "key": "b", "name": "Same", "apiKey": "s", "mobileKey": "m" },
        ]));
        let text = render("p", &list, &redis(&[("REDIS_HOSTS", "r")]), &KeyPrefix::default(), &Endpoints::default());
        assert!(text.contains("[Environment \"Same a\"]") && text.contains("[Environment \"Same b\"]"), "{text}");
    }

    #[test]
    fn user_password_tls_and_database_reach_the_relay() {
        let mut ini = Ini::default();
        redis(&[
            ("REDIS_HOSTS", "rediss://u:p%22@r"),
            ("REDIS_CLIENT_CERT_FILE", "/dev/null"),
            ("REDIS_CLIENT_KEY_FILE", "/dev/null"),
        ])
        .write(&mut ini);
        redis(&[("REDIS_HOSTS", "redis://r:7/3"), ("REDIS_PASSWORD", "q")]).write(&mut ini);
        assert_eq!(
            ini.finish(),
            "[Redis]\n    host = \"r\"\n    port = 6379\n    tls = true\n    username = \"u\"\n    password = \"p\\\"\"\n    \
             clientCertificateFile = \"/dev/null\"\n    clientKeyFile = \"/dev/null\"\n    localTtl = 30s\n\
             \n[Redis]\n    url = \"redis://r:7/3\"\n    password = \"q\"\n    localTtl = 30s\n"
        );
    }

    #[test]
    fn an_endpoint_that_was_moved_is_moved_for_the_relay_too() {
        let variables = Environment::from_pairs([
            ("LAUNCHDARKLY_STREAM_URI", "http://s"),
            ("LAUNCHDARKLY_BASE_URI", "http://b"),
            ("LAUNCHDARKLY_EVENTS_URI", "http://e"),
        ]);
        let endpoints = Endpoints::from_environment(&variables);
        let text = render("p", &[], &redis(&[("REDIS_HOSTS", "r")]), &KeyPrefix::default(), &endpoints);
        assert!(
            text.contains(
                "[Main]\n    streamUri = \"http://s\"\n    baseUri = \"http://b\"\n    ignoreConnectionErrors = true\n\n\
                 [Events]\n    eventsUri = \"http://e\"\n"
            ),
            "{text}"
        );
    }
}
