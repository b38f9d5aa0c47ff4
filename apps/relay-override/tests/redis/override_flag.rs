//! `rc update-redis`: what Redis holds afterwards, and what the user is told.

use tokio::task::JoinSet;

use local::patience;

use super::server::{Server, connect};
use super::stage::{OFF, ON, Stage, flag};

#[test]
fn on_and_version_change_and_every_other_byte_stays() {
    let servers = [Server::start(), Server::start(), Server::start()];
    for (server, version) in servers.iter().zip([12, 12, 40]) {
        server.put("f", &flag(false, version));
        server.put("other", "not even JSON");
    }
    let addresses = servers.each_ref().map(Server::address);
    let stage = Stage::new(&addresses.each_ref().map(String::as_str));
    let ran = stage.run(ON);
    let expected = format!(
        "{}  updated v12 → v13\n{}  updated v12 → v13\n{}  updated v40 → v41\n",
        addresses[0], addresses[1], addresses[2]
    );
    assert_eq!((ran.code, ran.out, ran.err), (0, expected, String::new()));
    for (server, version) in servers.iter().zip([13, 13, 41]) {
        assert_eq!(server.get("f"), Some(flag(true, version)));
        assert_eq!(server.get("other").as_deref(), Some("not even JSON"));
    }
}

#[test]
fn where_it_is_so_already_nothing_is_raised() {
    let server = Server::start();
    server.put("f", &flag(true, 12));
    let stage = Stage::new(&[&server.address()]);
    let ran = stage.run(ON);
    assert_eq!((ran.code, ran.out), (0, format!("{}  unchanged (v12)\n", server.address())));
    assert_eq!(server.get("f"), Some(flag(true, 12)));
    assert_eq!(stage.pending(), Vec::<String>::new());
}

#[test]
fn the_string_of_the_tool_before_is_made_a_boolean() {
    let server = Server::start();
    server.put("f", r#"{"on": "on", "version": 3}"#);
    assert_eq!(Stage::new(&[&server.address()]).run(ON).code, 0);
    assert_eq!(server.get("f").as_deref(), Some(r#"{"on": true, "version": 4}"#));
}

#[test]
fn dead_hosts_do_not_hold_up_the_others() {
    let (first, last) = (Server::start(), Server::start());
    first.put("f", &flag(false, 1));
    last.put("f", &flag(false, 1));
    let dead = Server::stopped_address();
    let stage = Stage::new(&[&first.address(), &dead, &last.address()]);
    let ran = stage.run(ON);
    assert_eq!(ran.code, 1);
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(lines[0].ends_with("updated v1 → v2"), "{ran:?}");
    assert!(lines[1].contains("  unreachable: Connection refused"), "{ran:?}");
    assert!(lines[2].ends_with("updated v1 → v2"), "{ran:?}");
    assert!(
        ran.err.contains(&format!("f (p/e) is on on 2 of 3 hosts; still serving the old state: {dead}; run the same")),
        "{ran:?}"
    );
}

#[test]
fn a_host_that_hangs_is_given_up_in_time() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let mute = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    let ran = Stage::new(&[&mute, &server.address()]).run(&format!("{ON} --timeout 3"));
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("  unreachable: "), "{ran:?}");
    assert!(ran.out.contains("updated v1 → v2"), "{ran:?}");
}

#[test]
fn users_and_passwords_are_used_and_never_shown() {
    let server = Server::with(&["--user", "default", "off", "--user", "app", "on", ">s3cret~@", "~ld:*", "+@all"]);
    let mut admin = server.connect_to("redis://app:s3cret~%40@");
    redis::cmd("HSET").arg("ld:p:e:features").arg("f").arg(flag(false, 1)).exec(&mut admin).unwrap();
    let url = |user: &str| format!("redis://{user}@{}", server.address());
    let stage = Stage::new(&[&url("app:s3cret~%40")]);
    let ran = stage.run(&format!("{ON} -v DEBUG"));
    assert_eq!((ran.code, ran.out.as_str()), (0, format!("{}  updated v1 → v2\n", server.address()).as_str()));
    assert!(!format!("{ran:?}").contains("s3cret"));

    let stage = Stage::new(&[&server.address()]).with("REDIS_USERNAME", "app").with("REDIS_PASSWORD", "s3cret~@");
    assert_eq!(stage.run(OFF).code, 0);

    let ran = Stage::new(&[&url("app:wr0ng")]).run(&format!("{ON} -v DEBUG"));
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("refused: ") && ran.out.contains("check user and password"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("wr0ng"));

    let ran = Stage::new(&[&server.address()]).run(ON);
    assert!(ran.code == 1 && ran.out.contains("check user and password"), "{ran:?}");
}

#[test]
fn another_database_is_another_host() {
    let server = Server::start();
    redis::cmd("SELECT").arg(3).exec(&mut server.connect()).unwrap();
    let mut third = connect(&format!("redis://{}/3", server.address()));
    redis::cmd("HSET").arg("ld:p:e:features").arg("f").arg(flag(false, 1)).exec(&mut third).unwrap();
    let ran = Stage::new(&[&format!("redis://{}/3", server.address()), &server.address()]).run(ON);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains(&format!("{}/3  updated v1 → v2\n", server.address())), "{ran:?}");
    assert!(ran.out.contains("no such flag"), "{ran:?}");
}

#[test]
fn a_read_only_replica_says_so() {
    let primary = Server::start();
    primary.put("f", &flag(false, 1));
    let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", primary.port)]);
    replica.wait_until_replicating();
    let stage = Stage::new(&[&replica.address()]);
    let ran = stage.run(ON);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("name its primary in REDIS_HOSTS instead"), "{ran:?}");
    assert!(ran.err.contains("f (p/e) is on on no host: all still serve the old state"), "{ran:?}");
    assert_eq!(stage.pending(), Vec::<String>::new());
    assert_eq!(primary.get("f"), Some(flag(false, 1)));
}

#[test]
fn other_prefixes_are_found_by_option_and_variable() {
    let server = Server::start();
    server.put_into("relay-e:features", "f", &flag(false, 1));
    let stage = Stage::new(&[&server.address()]);
    let ran = stage.run(ON);
    assert!(ran.code == 1 && ran.out.contains("no such flag") && ran.err.contains("--key-prefix"), "{ran:?}");
    assert!(stage.run(&format!("{ON} --key-prefix relay-{{environment}}")).out.contains("v1 → v2"));
    let stage = Stage::new(&[&server.address()]).with("REDIS_KEY_PREFIX", "relay-{environment}");
    assert!(stage.run(OFF).out.contains("v2 → v3"));
}

#[tokio::test]
async fn overrides_at_the_same_time_are_recorded_in_their_order() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    for index in 0..20 {
        server.put(&format!("f{index}"), &flag(false, 1));
    }
    let stage = Stage::new(&[&server.address()]);
    let mut running = JoinSet::new();
    for index in 0..20 {
        running.spawn(patience::output(stage.command(&format!("update -p p -e e -f f{index} -s on"))));
    }
    for index in 0..10 {
        running.spawn(patience::output(stage.command(if index % 2 == 0 { ON } else { OFF })));
    }
    while let Some(ended) = running.join_next().await {
        let output = ended.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for index in 0..20 {
        assert_eq!(server.get(&format!("f{index}")), Some(flag(true, 2)));
    }
    // Each change of `f` has its own version and its own file, in the order of the changes.
    let changes: Vec<_> = stage.pending().into_iter().filter(|line| line.contains(" -f f ")).collect();
    let last_on = changes.last().unwrap().ends_with("-s on");
    assert_eq!(server.get("f"), Some(flag(last_on, 1 + changes.len() as u64)));
    assert!(changes.windows(2).all(|pair| pair[0] != pair[1]), "{changes:?}");
}

#[tokio::test]
async fn overrides_from_several_machines_at_once_are_all_counted() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    // Each with a journal of its own, as on machines of their own: only Redis keeps them apart.
    let stages: Vec<_> = (0..16).map(|_| Stage::new(&[&server.address()])).collect();
    let mut updates = 0;
    for round in 0..4 {
        let mut running = JoinSet::new();
        for (index, stage) in stages.iter().enumerate() {
            running.spawn(patience::output(stage.command(if (index + round) % 2 == 0 { ON } else { OFF })));
        }
        while let Some(ended) = running.join_next().await {
            let output = ended.unwrap().unwrap();
            let line = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{line}{}", String::from_utf8_lossy(&output.stderr));
            updates += u64::from(line.contains("updated"));
        }
    }
    let held: serde_json::Value = serde_json::from_str(&server.get("f").unwrap()).unwrap();
    assert_eq!(held["version"], 1 + updates);
}

#[test]
fn a_dry_run_touches_nothing() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let stage = Stage::new(&[&server.address()]);
    let ran = stage.run(&format!("{ON} --dry-run"));
    assert_eq!((ran.code, ran.out), (0, format!("{}  would update v1 → v2\n", server.address())));
    assert_eq!(server.get("f"), Some(flag(false, 1)));
    assert!(!stage.path("replay").exists());
}

#[test]
fn tls_trusts_the_authority_that_it_is_told_and_no_other() {
    let (server, folder) = Server::with_tls(&[]);
    let socket = format!("unix://{}", folder.path().join("socket").display());
    let mut connection = connect(&socket);
    redis::cmd("HSET").arg("ld:p:e:features").arg("f").arg(flag(false, 1)).exec(&mut connection).unwrap();
    let stage = Stage::new(&[&format!("rediss://localhost:{}", server.port)]);
    let ran = stage.run(ON);
    assert!(ran.code == 1 && ran.out.contains("unreachable: ") && ran.out.contains("UnknownIssuer"), "{ran:?}");
    let stage = stage.with("REDIS_CA_FILE", folder.path().join("ca.pem").to_str().unwrap());
    let ran = stage.run(ON);
    assert_eq!((ran.code, ran.out), (0, format!("localhost:{}  updated v1 → v2\n", server.port)), "{}", ran.err);
    let ran = stage.with("REDIS_HOSTS", &format!("rediss://127.0.0.1:{}", server.port)).run(OFF);
    assert!(ran.code == 1 && ran.out.contains("unreachable: "), "{ran:?}");
    assert_eq!(Stage::new(&[&socket]).run(OFF).code, 0);
}

#[test]
fn a_certificate_is_shown_to_a_server_that_asks_for_one_with_user_and_password() {
    let users = ["--user", "default", "off", "--user", "app", "on", ">s3cret", "~ld:*", "+@all"];
    let (server, folder) = Server::with_tls(&[&["--tls-auth-clients", "yes"][..], &users].concat());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let socket = format!("redis+unix://{}?user=app&pass=s3cret", file("socket"));
    let mut connection = connect(&socket);
    redis::cmd("HSET").arg("ld:p:e:features").arg("f").arg(flag(false, 1)).exec(&mut connection).unwrap();
    let stage = || {
        let address = format!("rediss://app@localhost:{}", server.port);
        Stage::new(&[&address]).with("REDIS_PASSWORD", "s3cret").with("REDIS_CA_FILE", &file("ca.pem"))
    };
    let ran = stage().run(ON);
    assert!(
        ran.code == 1 && ran.out.contains("refused: ") && ran.out.contains("set REDIS_CLIENT_CERT_FILE and"),
        "{ran:?}"
    );
    let with_certificate = || {
        let stage = stage().with("REDIS_CLIENT_CERT_FILE", &file("client.pem"));
        stage.with("REDIS_CLIENT_KEY_FILE", &file("client-key.pem"))
    };
    let ran = with_certificate().run(&format!("{ON} -v DEBUG"));
    assert_eq!((ran.code, ran.out.as_str()), (0, format!("localhost:{}  updated v1 → v2\n", server.port).as_str()));
    assert!(!format!("{ran:?}").contains("s3cret"));
    let ran = with_certificate().with("REDIS_PASSWORD", "wr0ng").run(ON);
    assert!(ran.code == 1 && ran.out.contains("check user and password"), "{ran:?}");
    let ran = stage().with("REDIS_CLIENT_CERT_FILE", &file("client.pem")).run(ON);
    assert!(ran.code == 2 && ran.err.contains("REDIS_CLIENT_KEY_FILE is not"), "{ran:?}");
    for (name, content) in [("REDIS_CLIENT_KEY_FILE", "no key"), ("REDIS_CLIENT_CERT_FILE", "")] {
        std::fs::write(file("broken"), content).unwrap();
        let ran = with_certificate().with(name, &file("broken")).run(ON);
        assert!(ran.code == 1 && ran.out.contains("unreachable: "), "{ran:?}");
    }
}

#[test]
fn any_server_of_a_cluster_leads_to_the_one_that_has_the_flag() {
    let servers = Server::cluster();
    let owner = Server::owner(&servers);
    servers[owner].put("f", &flag(false, 1));
    let addresses = servers.each_ref().map(Server::address);
    let stage = Stage::new(&[&addresses[(owner + 1) % 3]]);
    let ran = stage.run(ON);
    assert_eq!((ran.code, ran.out), (0, format!("{}  updated v1 → v2\n", addresses[(owner + 1) % 3])), "{}", ran.err);
    assert_eq!(servers[owner].get("f"), Some(flag(true, 2)));
    let ran = stage.run("status");
    assert!(ran.code == 0 && ran.out.contains("on v2\n"), "{ran:?}");
    let ran = stage.run("revert --all");
    assert!(ran.code == 0 && ran.out.contains("reverted v2 → v1"), "{ran:?}");
    assert_eq!(servers[owner].get("f"), Some(flag(false, 1)));
    let ran = stage.run("doctor -p p -e e");
    assert!(ran.code == 0 && ran.out.contains("1 flags of p/e, but `$inited` is missing"), "{ran:?}");

    // All of them are one place, which is raised once.
    let stage = Stage::new(&addresses.each_ref().map(String::as_str));
    let ran = stage.run(ON);
    assert!(ran.code == 0 && ran.out.matches("updated v1 → v2").count() == 1, "{ran:?}");
    assert_eq!(ran.out.matches("unchanged (v2)").count(), 2, "{ran:?}");
    assert_eq!((servers[owner].get("f"), stage.pending().len()), (Some(flag(true, 2)), 1));
    let ran = stage.run("revert --all");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((servers[owner].get("f"), stage.pending().len()), (Some(flag(false, 1)), 0));
}

#[test]
fn the_sentinels_know_the_primary() {
    let primary = Server::start();
    primary.put("f", &flag(false, 1));
    let configuration = primary.folder().join("sentinel.conf");
    std::fs::write(&configuration, format!("sentinel monitor main 127.0.0.1 {} 1\n", primary.port)).unwrap();
    let sentinel = Server::sentinel(&configuration);
    let ran = Stage::new(&[&format!("redis+sentinel://{}/main", sentinel.address())]).run(ON);
    assert_eq!((ran.code, ran.out.as_str()), (0, "main  updated v1 → v2\n"), "{}", ran.err);
}

#[test]
fn configuration_that_is_wrong_names_itself() {
    let server = Server::start();
    let stage = Stage::new(&[]);
    let ran = stage.run(ON);
    assert!(ran.code == 2 && ran.err.contains("rc: REDIS_HOSTS is not set"), "{ran:?}");
    std::fs::write(stage.path(".env"), format!("REDIS_HOSTS={}\n", server.address())).unwrap();
    assert!(stage.run(ON).out.contains("no such flag"));
    let ran = Stage::new(&["a:b"]).run(ON);
    assert!(ran.code == 2 && ran.err.contains("\"a:b\" is not a host"), "{ran:?}");
    let ran = Stage::new(&["a"]).with("LOG_LEVEL", "LOUD").run(ON);
    assert!(ran.code == 2 && ran.err.contains("read LOG_LEVEL=\"LOUD\""), "{ran:?}");
    let ran = Stage::new(&["a"]).run("update-redis -p p -e e -f f -s true");
    assert!(ran.code == 2 && ran.err.contains("[possible values: on, off]"), "{ran:?}");
}
