//! `rc status`, `rc revert` and `rc doctor`.

use super::server::Server;
use super::stage::{OFF, ON, Stage, flag};

#[test]
fn status_shows_each_side_and_what_is_pending() {
    let (first, second) = (Server::start(), Server::start());
    first.put("f", &flag(false, 12));
    let dead = Server::stopped_address();
    let stage = Stage::new(&[&first.address(), &second.address(), &dead]);
    let ran = stage.run("status");
    assert_eq!((ran.code, ran.out.as_str()), (0, "nothing pending\n"));
    assert_eq!(stage.run(ON).code, 1);
    let ran = stage.run("status");
    assert_eq!(ran.code, 1, "a host is away");
    for expected in [
        "f (p/e)\n  pending: on since less than a minute (was v12)\n".to_owned(),
        format!("  {}  on v13\n", first.address()),
        format!("  {}  no such flag\n", second.address()),
        format!("  {dead}  unreachable: "),
        "not asked, because LD_API_KEY is not set\n".to_owned(),
        "  playback: not known, because LaunchDarkly's flag is not known\n".to_owned(),
    ] {
        assert!(ran.out.contains(&expected), "{expected:?} in {}", ran.out);
    }
    let json: serde_json::Value = serde_json::from_str(&stage.run("status --json").out).unwrap();
    let facts = &json["flags"][0];
    assert_eq!((facts["flag"].as_str(), facts["project"].as_str()), (Some("f"), Some("p")));
    assert_eq!(facts["pending"][0]["heldVersion"], 12);
    assert_eq!(
        facts["hosts"][0],
        serde_json::json!({"host": first.address(), "is": "holds", "version": 13, "on": true})
    );
    assert_eq!(facts["launchdarkly"]["is"], "unknown");
}

#[test]
fn revert_leaves_no_trace_of_an_override() {
    let servers = [Server::start(), Server::start()];
    servers[0].put("f", &flag(false, 12));
    servers[1].put("f", &flag(false, 7));
    let stage = Stage::new(&servers.each_ref().map(Server::address).each_ref().map(String::as_str));
    for line in [ON, OFF, ON] {
        assert_eq!(stage.run(line).code, 0);
    }
    let ran = stage.run("revert -p p -e e -f f --dry-run");
    assert!(ran.code == 0 && ran.out.contains("f (p/e) on: would revert v15 → v14"), "{ran:?}");
    assert_eq!(servers[0].get("f"), Some(flag(true, 15)));

    let ran = stage.run("revert -p p -e e -f f");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((servers[0].get("f"), servers[1].get("f")), (Some(flag(false, 12)), Some(flag(false, 7))));
    assert_eq!(
        (stage.pending().len(), stage.files("replay/reverted").len(), stage.files("replay/archive").len()),
        (0, 3, 0)
    );
    let ran = stage.run("revert -p p -e e -f f");
    assert!(ran.code == 1 && ran.err.contains("no override of it is pending"), "{ran:?}");
}

#[test]
fn revert_leaves_alone_what_somebody_wrote_since() {
    let server = Server::start();
    server.put("f", &flag(false, 12));
    let stage = Stage::new(&[&server.address()]);
    assert_eq!(stage.run(ON).code, 0);
    server.put("f", &flag(true, 20));
    let ran = stage.run("revert --all");
    assert!(ran.code == 0 && ran.out.contains("left at v20: somebody wrote it after the override"), "{ran:?}");
    assert_eq!(server.get("f"), Some(flag(true, 20)));
    assert_eq!(stage.pending().len(), 0);
}

#[test]
fn revert_keeps_what_it_could_not_take_back_everywhere() {
    let (stays, goes) = (Server::start(), Server::start());
    stays.put("f", &flag(false, 1));
    goes.put("f", &flag(false, 1));
    let (stays_at, goes_at) = (stays.address(), goes.address());
    let stage = Stage::new(&[&stays_at, &goes_at]);
    assert_eq!(stage.run(ON).code, 0);
    drop(goes);
    let ran = stage.run("revert --all");
    assert!(ran.code == 1 && ran.out.contains("unreachable: "), "{ran:?}");
    assert_eq!(stays.get("f"), Some(flag(false, 1)));
    assert_eq!(stage.pending().len(), 1);
}

#[test]
fn doctor_finds_what_would_go_wrong() {
    let primary = Server::with(&["--appendonly", "yes"]);
    primary.put("f", &flag(false, 1));
    redis::cmd("SET").arg("ld:p:e:$inited").arg("").exec(&mut primary.connect()).unwrap();
    let stage = Stage::new(&[&primary.address()]);
    let ran = stage.run("doctor -p p -e e");
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in [
        format!("ok    {}: reachable\n", primary.address()),
        format!("ok    {}: 1 flags of p/e, marked as filled\n", primary.address()),
        format!("ok    {}: writes are logged to disk\n", primary.address()),
        "ok    Relay Proxy: its cache hides an override for up to 30 s (its default".to_owned(),
        "warn  LaunchDarkly: not asked, because LD_API_KEY is not set".to_owned(),
    ] {
        assert!(ran.out.contains(&expected), "{expected:?} in {}", ran.out);
    }

    std::fs::write(stage.path("ld-relay.conf"), "[Redis]\nlocalTtl = -1s\n").unwrap();
    let replica =
        Server::with(&["--replicaof", "127.0.0.1", &primary.port.to_string(), "--maxmemory-policy", "allkeys-lru"]);
    replica.wait_until_replicating();
    let stage = stage.with("REDIS_HOSTS", &format!("{},{}", replica.address(), Server::stopped_address()));
    let ran = stage.run("doctor -p other -e e");
    assert_eq!(ran.code, 1);
    for expected in [
        "but a read-only replica",
        "allkeys-lru: would drop flags",
        "a restart of Redis may undo an override",
        "no flags of other/e",
        ": unreachable: ",
        "an override is hidden for ever, until the Relay Proxy is restarted",
    ] {
        assert!(ran.out.contains(expected), "{expected:?} in {}", ran.out);
    }
}
