//! The dashboard in a real browser, before three real regions of a real server.
//!
//! `page/drive.py` is the person before it; it starts the regions, the server and Chromium, and ends
//! them.
//!
//! *Not here:* how files of the page are sent (`api::page`), what the API says (`api`).

use std::{
    io::Read as _,
    path::Path,
    process::{Command, Stdio},
};

use crate::process::Process;

#[test]
fn a_person_before_the_dashboard() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "`tests/run` installs what this test needs");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = Command::new(python);
    command.arg(root.join("tests/it/page/drive.py"));
    command.args([Path::new(env!("CARGO_BIN_EXE_evenkeel")), folder.path()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut script = Process::start(&mut command);
    let mut done = String::new();
    let mut stdout = script.child().stdout.take().expect("it is piped");
    stdout.read_to_string(&mut done).expect("it writes text");
    assert!(script.wait().success(), "after\n{done}");
    let scenes = ["a region dies", "drained", "refused", "complaints", "lost", "axe", "elsewhere"];
    for scene in scenes {
        assert!(done.contains(scene), "no `{scene}` in\n{done}");
    }
}
