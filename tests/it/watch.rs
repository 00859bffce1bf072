//! `evenkeel status --watch` on a terminal, as an operator has it: tmux holds the terminal, and says what
//! is on it.
//!
//! *Not here:* what is drawn at which size (`cli::watch::view`).

use std::{
    net::Ipv4Addr,
    process::{Command, Output},
};

use crate::{
    api::run,
    failover::Region,
    process::{evenkeel, free_address, until},
    server::Server,
};

/// A terminal in which a command runs.
struct Terminal {
    /// tmux's socket is in it, so that it is a tmux of our own.
    folder: tempfile::TempDir,
}

impl Terminal {
    /// Of so many columns and rows. How the command ended is shown after it.
    fn start(size: (u16, u16), command: &Command) -> Self {
        let terminal = Self { folder: tempfile::tempdir().unwrap() };
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let words = [command.get_program()].into_iter().chain(command.get_args());
        let words: Vec<_> = words.map(|it| format!("'{}'", it.to_str().unwrap())).collect();
        let script = format!("{}; echo \"ended with $?\"; exec cat", words.join(" "));
        let new = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows];
        let said = terminal.tmux(&[&new[..], &["sh", "-c", &script]].concat());
        assert!(said.status.success(), "{said:?}");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let socket = self.folder.path().join("tmux");
        let mut tmux = Command::new("tmux");
        // Colours would not be there for whoever runs the tests without any.
        tmux.env_remove("TMUX").env_remove("NO_COLOR");
        tmux.arg("-S").arg(socket).args(arguments).output().expect("`tests/run` installs tmux")
    }

    /// What is on it, with `-e` in colour.
    fn screen(&self, options: &[&str]) -> String {
        let said = self.tmux(&[&["capture-pane", "-p"], options].concat());
        String::from_utf8(said.stdout).unwrap()
    }

    fn shows(&self, words: &str) {
        let mut screen = String::new();
        until(&format!("`{words}` on the screen"), || {
            screen = self.screen(&[]);
            screen.contains(words)
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_failure_is_seen_as_it_happens() {
    let port = free_address().port();
    let addresses = [1, 2].map(|host| Ipv4Addr::new(127, 0, 37, host));
    let mut regions = Region::start_all(port, addresses);
    let config = format!(
        "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\ngeoip: []\n\
         api: {{ listen: \"127.0.0.1:0\" }}\n\
         regions: {{ us-east-1: {{ capacity: 80 }}, eu-west-1: {{ capacity: 80 }} }}\n\
         checks: {{ web: {{ http: {{ path: /Cargo.toml, port: {port} }}, \
         every: 1s, timeout: 500ms, fall: 2, rise: 2 }} }}\n"
    );
    let zone = "zone: example.com\nrecords:\n  \"@\": { NS: ns1 }\n  ns1: { A: 192.0.2.53 }\n  \
                www:\n    steer:\n      check: web\n      demand: 60\n      pools:\n        \
                us-east-1: { weight: 2, A: 127.0.37.1 }\n        eu-west-1: { A: 127.0.37.2 }\n";
    let server = Server::start(&[("evenkeel.yaml", &config), ("zones/example.com.yaml", zone)]);
    let url = format!("http://{}", server.api.unwrap());
    let mut watch = evenkeel();
    watch.args(["status", "--watch", "--interval", "200ms", "--server", &url]);
    let terminal = Terminal::start((150, 40), &watch);
    for words in ["all is up", "load 40 of 80", "us-east-1 67 %  eu-west-1 33 %", "live"] {
        terminal.shows(words);
    }

    regions[0].kill();
    for words in ["us-east-1 is down", "connection refused", "1/2 up  us-east-1 0 %"] {
        terminal.shows(words);
    }
    let coloured = terminal.screen(&["-e"]);
    assert!(coloured.contains("\x1b[38;5;1m us-east-1 is down"), "it is red: {coloured:?}");

    // A smaller window still says what matters first.
    assert!(terminal.tmux(&["resize-window", "-x", "60", "-y", "15"]).status.success());
    until("the view to fit", || {
        let screen = terminal.screen(&[]);
        screen.contains("us-east-1 is down") && screen.contains("q quits")
    });
    assert!(terminal.tmux(&["resize-window", "-x", "150", "-y", "40"]).status.success());

    let drain = ["override", "set", "127.0.37.1", "drain", "--reason", "disks", "--author", "ann"];
    assert_eq!(run(&[&drain[..], &["--server", &url]].concat()).0, 0);
    terminal.shows("ann: disks");
    terminal.shows("us-east-1 is drained");

    drop(server.kill());
    terminal.shows("LOST, this is");
    // What was known is still there.
    terminal.shows("ann: disks");
    terminal.tmux(&["send-keys", "q"]);
    terminal.shows("ended with 0");
    assert!(!terminal.screen(&[]).contains("Regions"), "the screen is as it was before");
}

#[test]
fn without_a_terminal_it_is_said_once() {
    let zone = "zone: example.com\nrecords:\n  \"@\": { NS: ns1 }\n  ns1: { A: 192.0.2.53 }\n";
    let config = "version: 1\nlisten: [\"127.0.0.1:0\"]\nzones: zones/\ngeoip: []\n\
                  api: { listen: \"127.0.0.1:0\" }\n";
    let server = Server::start(&[("evenkeel.yaml", config), ("zones/example.com.yaml", zone)]);
    let url = format!("http://{}", server.api.unwrap());
    let mut command = evenkeel();
    let said = command.args(["status", "--watch", "--server", &url]).output().unwrap();
    let [out, err] = [said.stdout, said.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(said.status.success() && out.contains(": ready, generation "), "{out}{err}");
    assert!(err.contains("`--watch` is for a terminal"), "{err}");
    let wrongs = [
        &["--interval", "1s"][..],
        &["--watch", "--interval", "0s"],
        &["--watch", "--interval", "400d"],
    ];
    for wrong in wrongs {
        assert_eq!(run(&[&["status", "--server", &url], wrong].concat()).0, 2, "{wrong:?}");
    }
}
