//! A Redis server of the test's own, ended when dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use local::patience::PATIENCE;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

pub(crate) struct Server {
    process: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with further options, on a free port; another one where the port was taken
    /// meanwhile.
    pub(crate) fn with(options: &[&str]) -> Self {
        for _ in 0..20 {
            let port = free_port();
            if let Some(server) = Self::on(port, options) {
                return server;
            }
        }
        panic!("no redis-server starts; is it installed?");
    }

    /// Starts one that speaks TLS only, with further options, and gives the folder with `ca.pem`, the authority to trust
    /// for it, `client.pem` and `client-key.pem`, which it trusts, and `socket`, which needs no TLS.
    pub(crate) fn with_tls(options: &[&str]) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(path("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(parameters, key);
        for (name, certificate, key_file) in
            [("localhost", "cert.pem", "key.pem"), ("rc", "client.pem", "client-key.pem")]
        {
            let key = KeyPair::generate().unwrap();
            let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
            // Else it is named as its issuer, and taken for one that has signed itself.
            parameters.distinguished_name.push(DnType::CommonName, name);
            std::fs::write(path(certificate), parameters.signed_by(&key, &issuer).unwrap().pem()).unwrap();
            std::fs::write(path(key_file), key.serialize_pem()).unwrap();
        }
        for _ in 0..20 {
            let port = free_port();
            let mut command = Command::new("redis-server");
            command.args(["--port", "0", "--bind", "127.0.0.1", "--save", "", "--tls-auth-clients", "no"]);
            command.args(["--tls-port", &port.to_string(), "--tls-cert-file", &path("cert.pem")]);
            command.args(["--tls-key-file", &path("key.pem"), "--tls-ca-cert-file", &path("ca.pem")]);
            command.args(["--unixsocket", &path("socket"), "--dir", &path("")]).args(options);
            if let Some(server) =
                Self::spawn(command, port, tempfile::tempdir().unwrap(), "Ready to accept connections")
            {
                return (server, folder);
            }
        }
        panic!("no redis-server with TLS starts; is it installed?");
    }

    /// Starts a cluster of three, which share the hashes among them.
    pub(crate) fn cluster() -> [Self; 3] {
        let servers = [(); 3].map(|()| Self::with(&["--cluster-enabled", "yes"]));
        let shares = ["0 5460", "5461 10922", "10923 16383"];
        for (server, share) in servers.iter().zip(shares) {
            let mut connection = server.connect();
            redis::cmd("CLUSTER")
                .arg("ADDSLOTSRANGE")
                .arg(share.split(' ').collect::<Vec<_>>())
                .exec(&mut connection)
                .unwrap();
            redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(servers[0].port).exec(&mut connection).unwrap();
        }
        for server in &servers {
            server.wait_for("CLUSTER", "INFO", &["cluster_state:ok", "cluster_known_nodes:3"]);
        }
        servers
    }

    /// Which of a cluster's servers has the hash of `put`.
    pub(crate) fn owner(cluster: &[Self; 3]) -> usize {
        let mut connection = cluster[0].connect();
        let slot: usize = redis::cmd("CLUSTER").arg("KEYSLOT").arg("ld:p:e:features").query(&mut connection).unwrap();
        [5460, 10922, 16383].iter().position(|last| slot <= *last).unwrap()
    }

    /// Starts a sentinel with a configuration, which it will write to.
    pub(crate) fn sentinel(configuration: &std::path::Path) -> Self {
        for _ in 0..20 {
            let port = free_port();
            let mut command = Command::new("redis-server");
            command.arg(configuration).args(["--sentinel", "--port", &port.to_string()]);
            if let Some(server) = Self::spawn(command, port, tempfile::tempdir().unwrap(), "Sentinel ID is") {
                return server;
            }
        }
        panic!("no sentinel starts; is redis-server installed?");
    }

    fn on(port: u16, options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(folder.path()).args(options);
        Self::spawn(command, port, folder, "Ready to accept connections")
    }

    fn spawn(mut command: Command, port: u16, folder: tempfile::TempDir, ready: &str) -> Option<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let (said, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        // Somebody has to read its log to the end.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(said.send(line))));
        let server = Self { process, folder, port };
        let deadline = Instant::now() + PATIENCE;
        let mut log = String::new();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(ready) => return Some(server),
                Ok(line) => log.extend([&line, "\n"]),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("redis-server is not ready; it says:\n{log}"),
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A port that refuses, as that of a server that has ended does; taken as long as the tests run, so that no other
    /// server gets it.
    pub(crate) fn stopped_address() -> String {
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        std::mem::forget(taken);
        address
    }

    pub(crate) fn connect(&self) -> redis::Connection {
        self.connect_to("redis://")
    }

    /// With `redis://user:password@`.
    pub(crate) fn connect_to(&self, before_address: &str) -> redis::Connection {
        let separator = if before_address.ends_with('@') || before_address.ends_with('/') { "" } else { "@" };
        let url = format!("{before_address}{separator}{}", self.address());
        connect(&url)
    }

    pub(crate) fn put(&self, flag: &str, json: &str) {
        self.put_into("ld:p:e:features", flag, json);
    }

    pub(crate) fn put_into(&self, hash: &str, flag: &str, json: &str) {
        redis::cmd("HSET").arg(hash).arg(flag).arg(json).exec(&mut self.connect()).unwrap();
    }

    pub(crate) fn get(&self, flag: &str) -> Option<String> {
        redis::cmd("HGET").arg("ld:p:e:features").arg(flag).query(&mut self.connect()).unwrap()
    }

    /// Waits until it has caught up with its primary.
    pub(crate) fn wait_until_replicating(&self) {
        self.wait_for("INFO", "replication", &["master_link_status:up"]);
    }

    /// Waits until a command's answer has all these words in it.
    fn wait_for(&self, command: &str, argument: &str, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer: String = redis::cmd(command).arg(argument).query(&mut self.connect()).unwrap();
            if words.iter().all(|word| answer.contains(word)) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for {words:?} in {command} {argument}, not {answer}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A connection that waits for no answer for ever.
pub(crate) fn connect(url: &str) -> redis::Connection {
    let connection = redis::Client::open(url).unwrap().get_connection_with_timeout(PATIENCE).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection
}

/// A way to a server that lets everything through, and closes once `EXEC` was passed on.
pub(crate) fn dies_at_exec(port: u16) -> String {
    use std::io::{Read, Write};
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            if buffer[..length].windows(4).any(|bytes| bytes == b"EXEC") {
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.write_all(&buffer[..length]);
                return;
            }
            server.write_all(&buffer[..length]).unwrap();
        }
    });
    address
}

/// A way to a server that lets everything through up to the first `WATCH`, says that it has come,
/// and lets nothing through any more.
pub(crate) fn stalled_at_watch(port: u16) -> (String, std::sync::mpsc::Receiver<()>) {
    use std::io::{Read, Write};
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, reached) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            if buffer[..length].windows(5).any(|bytes| bytes == b"WATCH") {
                sender.send(()).unwrap();
                // Held open until the other side is gone.
                while let Ok(1..) = client.read(&mut buffer) {}
                return;
            }
            server.write_all(&buffer[..length]).unwrap();
        }
    });
    (address, reached)
}

/// Takes one webhook and answers it.
pub(crate) struct Webhook {
    address: String,
    body: tokio::sync::oneshot::Receiver<String>,
}

impl Webhook {
    pub(crate) fn start() -> Self {
        use std::io::{Read, Write};
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, body) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
            loop {
                let length = connection.read(&mut buffer).unwrap();
                received.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&received);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                if let Some(body) =
                    body.filter(|body| length == 0 || serde_json::from_str::<serde_json::Value>(body).is_ok())
                {
                    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    sender.send(body).unwrap();
                    return;
                }
            }
        });
        Self { address, body }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The stand-in sends it from another thread or task: awaited without blocking those.
    pub(crate) async fn body(self) -> String {
        local::patience::in_time(self.body, || "a webhook".to_owned()).await.unwrap().unwrap()
    }
}
