//! The journal around `rc update-redis`: no override without a record, no record without reason.

use std::fs;

use super::server::Server;
use super::stage::{OFF, ON, Stage, flag};

const ON_LINE: &str = "rc update-ld-api -p p -e e -f f -s on";
const OFF_LINE: &str = "rc update-ld-api -p p -e e -f f -s off";

#[test]
fn one_file_a_change_and_not_one_a_host() {
    let servers = [Server::start(), Server::start()];
    for server in &servers {
        server.put("f", &flag(false, 12));
    }
    let stage = Stage::new(&servers.each_ref().map(Server::address).each_ref().map(String::as_str));
    assert_eq!(stage.run(ON).code, 0);
    assert_eq!(stage.pending(), [ON_LINE]);
    let name = &stage.files("replay/toDo")[0];
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(stage.path("replay/versions").join(format!("{name}.json"))).unwrap()).unwrap();
    let host = &record["hosts"][servers[0].address()];
    assert_eq!(*host, serde_json::json!({"before": {"version": 12, "on": false}, "overrideVersion": 13}));

    assert_eq!(stage.run(OFF).code, 0);
    assert_eq!(stage.pending(), [ON_LINE, OFF_LINE]);
}

#[test]
fn running_it_again_adds_nothing() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let stage = Stage::new(&[&server.address()]);
    for _ in 0..3 {
        assert_eq!(stage.run(ON).code, 0);
    }
    assert_eq!(stage.pending(), [ON_LINE]);
    assert_eq!(server.get("f"), Some(flag(true, 2)));
}

#[test]
fn a_re_run_for_the_hosts_that_were_away_adds_them_to_the_record() {
    let (first, second) = (Server::start(), Server::start());
    first.put("f", &flag(false, 1));
    second.put("f", &flag(false, 7));
    let dead = Server::stopped_address();
    let stage = Stage::new(&[&first.address(), &dead]);
    assert_eq!(stage.run(ON).code, 1);
    let stage = stage.with("REDIS_HOSTS", &format!("{},{}", first.address(), second.address()));
    let ran = stage.run(ON);
    assert!(ran.code == 0 && ran.out.contains("unchanged (v2)") && ran.out.contains("v7 → v8"), "{ran:?}");
    assert_eq!(stage.pending(), [ON_LINE]);
    let record = fs::read_to_string(stage.path("replay/versions").join(&stage.files("replay/versions")[0])).unwrap();
    assert!(record.contains(&first.address()) && record.contains(&second.address()), "{record}");
}

#[test]
fn a_flag_that_no_host_knows_is_not_recorded() {
    let servers = [Server::start(), Server::start()];
    let stage = Stage::new(&servers.each_ref().map(Server::address).each_ref().map(String::as_str));
    let ran = stage.run(ON);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out.matches("no such flag").count(), 2);
    assert!(ran.err.contains("is on no host: check the keys"), "{ran:?}");
    assert_eq!(stage.pending(), Vec::<String>::new());

    servers[0].put("f", r#"{"version":5,"deleted":true}"#);
    let ran = stage.run(ON);
    assert!(ran.code == 1 && ran.out.matches("no such flag").count() == 2, "{ran:?}");
}

#[test]
fn it_is_recorded_where_only_one_host_took_it() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let stage = Stage::new(&[&server.address(), &Server::stopped_address()]);
    assert_eq!(stage.run(ON).code, 1);
    assert_eq!(stage.pending(), [ON_LINE]);
}

#[test]
fn without_a_record_redis_is_not_touched() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let stage = Stage::new(&[&server.address()]);
    fs::write(stage.path("replay"), "a file where the folder should be").unwrap();
    let ran = stage.run(ON);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("rc: nothing is changed, because it could not be recorded")
            && ran.err.contains("create the folder"),
        "{ran:?}"
    );
    assert_eq!(server.get("f"), Some(flag(false, 1)));
}

#[test]
fn the_folder_can_be_another() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let stage = Stage::new(&[&server.address()]);
    assert_eq!(stage.run(&format!("{ON} --replay-dir some/where")).code, 0);
    assert_eq!(stage.files("some/where/toDo").len(), 1);
    assert!(!stage.path("replay").exists());
}

#[test]
fn a_server_that_dies_under_the_write_leaves_a_record() {
    // It answers everything up to EXEC, and then is gone.
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let proxy = super::server::dies_at_exec(server.port);
    let stage = Stage::new(&[&proxy]);
    let ran = stage.run(ON);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("not known whether it is changed"), "{ran:?}");
    assert_eq!(stage.pending(), [ON_LINE]);
}

#[test]
fn whoever_is_killed_between_record_and_write_leaves_the_record() {
    let server = Server::start();
    server.put("f", &flag(false, 1));
    let (address, reached) = super::server::stalled_at_watch(server.port);
    let stage = Stage::new(&[&address]);
    let mut process = stage.command(ON).stdout(std::process::Stdio::null()).spawn().unwrap();
    reached.recv_timeout(local::patience::PATIENCE).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(server.get("f"), Some(flag(false, 1)), "nothing was written");
    assert_eq!(stage.pending(), [ON_LINE]);

    let stage = stage.with("REDIS_HOSTS", &server.address());
    let ran = stage.run("status");
    assert!(ran.out.contains("pending: on") && ran.out.contains("off v1\n"), "{ran:?}");
    assert_eq!(stage.run(ON).code, 0);
    assert_eq!(stage.pending(), [ON_LINE], "the record is used by the run that makes it true");
    assert_eq!(server.get("f"), Some(flag(true, 2)));
}
