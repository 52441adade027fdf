//! The program: its arguments, and its end.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::world::call;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_order-desk"))
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let mut desk = program()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--database",
            ":memory:",
            "--broker-sim",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(desk.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.take(2).map(Result::unwrap).collect();
    assert!(said[0].starts_with("pretended broker on http://"), "{said:?}");
    let address = said[1]
        .strip_prefix("order desk on http://")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(call(address, "GET", "/healthz", &[], "").await.status, 200);
    assert!(
        Command::new("kill")
            .args(["-TERM", &desk.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(desk.wait().unwrap().success());
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, wrong) in [
        (vec!["--listen"], "--listen needs a value"),
        (vec!["--listen", "here"], "`here` is not an address"),
        (vec!["--port", "1"], "unknown argument `--port`"),
    ] {
        let ended = program().args(&arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2));
        assert!(
            String::from_utf8(ended.stderr).unwrap().contains(wrong),
            "{arguments:?}"
        );
    }
    let helped = program().arg("--help").output().unwrap();
    assert!(helped.status.success() && String::from_utf8(helped.stdout).unwrap().contains("--broker-sim"));
}
