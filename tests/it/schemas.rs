//! The schemas of the files, as an editor sees them.
//!
//! The same files go to `check` and to the language server that editors ask about YAML, which finds
//! the schema by the first line of the file. `tests/run` puts it into `target/node`.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use serde_json::{Value, json};

use crate::process::{PATIENCE, Process, evenkeel};

const SERVER: &str = "version: 1\nzones: [z.yaml]\ngeoip: []\nregions: { us: {}, eu: {} }\nchecks: { web: { http: {} } }\n";
const ZONE: &str = "zone: example.com\nrecords: { \"@\": { NS: ns.example.net. } }\n";

/// Lines that are wrong, each the last one of a server file.
const WRONG_IN_SERVER: &[&str] = &[
    "colour: red",
    "tls: { cert: cert.pem, key: key.pem }",
    "listen: localhost",
    "listen: [\"127.0.0.1:53\", \"127.0.0.1:99999\"]",
    "listen: []",
    "udp: { threads: 0 }",
    "udp: { cores: [0, 1024] }",
    "networks: { 10.0.0.0/33: { country: DE } }",
    "networks: { 10.0.0.0/8: {} }",
    "networks: { 10.0.0.0/8: { country: Germany } }",
    "explain_from: [everyone]",
    "latency: { half_life: soon }",
    "latency: { hysteresis: 0% }",
    "prober: { blind_above: 101% }",
    "prober: { control: [{ udp: \"192.0.2.1:53\" }] }",
    "api: { listen: 8053 }",
    "webhooks: [{ url: \"ftp://ops.example.com/\" }]",
    "webhooks: [{ url: \"https://ops.example.com/\", events: [verdicts] }]",
    "defaults: { ramp: { steps: [5%, fast] } }",
    "defaults: { ramp: slow }",
    "state: [a, b]",
    "prober: yes",
];

/// Checks that are wrong.
const WRONG_CHECKS: &[&str] = &[
    "{ every: 10s }",
    "{ http: {}, tcp: { port: 1 } }",
    "{ htttp: {} }",
    "{ http: { port: 70000 } }",
    "{ http: { path: health } }",
    "{ http: { status: [200-299, 600] } }",
    "{ https: { verify: maybe } }",
    "{ tcp: { port: 443 }, every: 10 seconds }",
    "{ tcp: { port: 443 }, fall: 0 }",
    "{ tcp: { port: 443 }, flap: { changes: 1, window: 1m, hold: 1m } }",
    "{ dns: { type: A } }",
    "{ dns: { name: example.com, rcode: MAYBE } }",
    "{ exec: { argv: [] } }",
    "{ push: {} }",
    "{ all_of: [] }",
    "{ at_least: { of: [web], percent: 101 } }",
];

/// Lines that are wrong, each the last one of a zone file and at a name of it.
const WRONG_NAMES: &[&str] = &[
    "a: { FOO: x }",
    "a: { A: 192.0.2.256 }",
    "a: { A: [192.0.2.1, \"2001:db8::1\"] }",
    "a: { AAAA: 192.0.2.1 }",
    "a: { SOA: ns. h. 1 2 3 4 5 }",
    "a: { ttl: 1w, A: 192.0.2.1 }",
    "a: { TXT: { ttl: 60 } }",
    "a: { TXT: { value: x } }",
    "a: {}",
    "a..b: { A: 192.0.2.1 }",
    "a: { steer: {} }",
    "a: { steer: { pools: {} } }",
    "a: { steer: { pools: { us: {} } } }",
    "a: { steer: { by: round_robin, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { answers: 33, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { sticky: forever, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { min_up: half, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { slack: 10 miles, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { slo: 99.9%, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { demand: 0, pools: { us: { A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { wieght: 1, A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { weight: -1, A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { tier: 0, A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { fence: perhaps, A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { tier: 2, trickle: 100%, A: 192.0.2.1 } } } }",
    "a: { steer: { pools: { us: { A: { address: 192.0.2.1, weight: 0 } } } } }",
    "a: { steer: { pools: { us: { A: { weight: 1 } } } } }",
    "a: { steer: { pools: { us: { A: { address: 192.0.2.1, adress: 192.0.2.2 } } } } }",
];

#[test]
fn the_files_are_what_the_command_prints() {
    for (name, path) in schemas() {
        let output = evenkeel().args(["schema", name]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &output.stdout).unwrap();
        }
        let same = fs::read(&path).unwrap() == output.stdout;
        assert!(same, "{} is another; UPDATE_EXPECT=1 writes it", path.display());
    }
}

#[test]
fn an_editor_complains_where_check_does() {
    let mut files = Vec::new();
    let server = |line: &str| (format!("{SERVER}{line}\n"), ZONE.to_owned());
    for line in WRONG_IN_SERVER {
        files.push(("server", server(line), line.to_string()));
    }
    for check in WRONG_CHECKS {
        let text = SERVER.replace("http: {} }", &format!("http: {{}} }},\n  c: {check}"));
        files.push(("server", (text, ZONE.to_owned()), check.to_string()));
    }
    for line in WRONG_NAMES {
        let zone = ZONE.replace("{ \"@\"", "\n  \"@\"").replace("} }", "}");
        files.push(("zone", (SERVER.into(), format!("{zone}  {line}\n")), line.to_string()));
    }
    let mut editor = Editor::start();
    let mut expected = Vec::new();
    for (kind, (server, zone), what) in files {
        let text = with_schema(kind, if kind == "server" { &server } else { &zone });
        let line = 1 + text.lines().position(|it| it.contains(&what)).unwrap();
        let name = if kind == "server" { "evenkeel.yaml" } else { "z.yaml" };
        let (server, zone) = if kind == "server" { (&text, &zone) } else { (&server, &text) };
        let said = check(&[("evenkeel.yaml", server), ("z.yaml", zone)]);
        let found = said.iter().any(|it| it.starts_with(&format!("{name}:{line}:")));
        assert!(found, "`check` finds nothing in line {line} of\n{text}\n{said:#?}");
        expected.push((editor.open(&text), line, text));
    }
    let said = editor.said(expected.len());
    for (uri, line, text) in expected {
        let lines: Vec<u64> = said[&uri].iter().map(|(line, _)| *line).collect();
        let found = lines.contains(&(line as u64));
        assert!(found, "the editor finds nothing in line {line} of\n{text}\n{:#?}", said[&uri]);
    }
}

#[test]
fn an_editor_finds_nothing_wrong_where_check_does_not() {
    let mut editor = Editor::start();
    let mut opened = Vec::new();
    for file in [
        "evenkeel.yaml",
        "zones/example.com.yaml",
        "examples/compose/evenkeel.yaml",
        "examples/compose/zones/example.com.yaml",
        "examples/three-regions/evenkeel.yaml",
        "examples/three-regions/zones/example.com.yaml",
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let kind = if file.ends_with("evenkeel.yaml") { "server" } else { "zone" };
        opened.push((editor.open(&with_schema(kind, &text)), file.to_owned()));
    }
    // `docs` has seen that `check` finds nothing wrong with them.
    for document in [
        "README.md",
        "docs/configuration.md",
        "docs/health.md",
        "docs/api.md",
        "docs/operations.md",
    ] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for block in text.split("```yaml\n").skip(1).map(|it| it.split("```").next().unwrap()) {
            let kind = if block.starts_with("version:") { "server" } else { "zone" };
            opened.push((editor.open(&with_schema(kind, block)), document.to_owned()));
        }
    }
    let said = editor.said(opened.len());
    for (uri, file) in opened {
        assert!(said[&uri].is_empty(), "{file}: {:#?}", said[&uri]);
    }
}

/// A file that says by which schema it is written.
fn with_schema(kind: &str, text: &str) -> String {
    let (_, path) = schemas().into_iter().find(|(it, _)| *it == kind).unwrap();
    format!("# yaml-language-server: $schema=file://{}\n{text}", path.display())
}

fn schemas() -> [(&'static str, PathBuf); 2] {
    ["server", "zone"].map(|it| (it, root().join(format!("examples/schemas/{it}.json"))))
}

/// What `check` says of the files, in one line each.
fn check(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = evenkeel();
    command.args(["check", "--config", "evenkeel.yaml"]).current_dir(folder.path());
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Complaints, each with its line from 1.
type Said = Vec<(u64, String)>;

/// A language server for YAML, as an editor drives it.
struct Editor {
    stdin: ChildStdin,
    messages: Receiver<Value>,
    n_opened: usize,
    _process: Process,
}

impl Editor {
    fn start() -> Self {
        let program =
            root().join("target/node/node_modules/yaml-language-server/bin/yaml-language-server");
        assert!(program.is_file(), "no `{}`: `tests/run` puts it there", program.display());
        let mut command = Command::new("node");
        command.arg(program).arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let stdin = process.child().stdin.take().unwrap();
        let mut stdout = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read_message(&mut stdout) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut editor = Self { stdin, messages, n_opened: 0, _process: process };
        let capabilities = json!({ "workspace": { "configuration": true } });
        let begin = json!({ "processId": null, "rootUri": null, "capabilities": capabilities });
        editor.send(&json!({ "id": 1, "method": "initialize", "params": begin }));
        while editor.next()["id"] != 1 {}
        editor.send(&json!({ "method": "initialized", "params": {} }));
        editor.settle();
        editor
    }

    /// Answers what it asks for, until it has its settings. It looks for no schemas elsewhere.
    fn settle(&mut self) {
        loop {
            let message = self.next();
            let asked = self.answer(&message);
            if asked == Some("workspace/configuration".to_owned()) {
                return;
            }
        }
    }

    /// Answers a request of the language server, and says which it was.
    fn answer(&mut self, message: &Value) -> Option<String> {
        let (id, method) = (message.get("id")?, message["method"].as_str()?);
        let setting = |item: &Value| match item["section"].as_str() {
            Some("yaml") => json!({ "validate": true, "schemaStore": { "enable": false } }),
            _ => json!({}),
        };
        let result = match message["params"]["items"].as_array() {
            Some(items) => items.iter().map(setting).collect(),
            None => Value::Null,
        };
        self.send(&json!({ "id": id, "result": result }));
        Some(method.to_owned())
    }

    fn open(&mut self, text: &str) -> String {
        let uri = format!("file:///tmp/{}.yaml", self.n_opened);
        self.n_opened += 1;
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        let params = json!({ "textDocument": document });
        self.send(&json!({ "method": "textDocument/didOpen", "params": params }));
        uri
    }

    /// What it says of each file, once it has spoken of all.
    fn said(&mut self, n_files: usize) -> BTreeMap<String, Said> {
        let mut said = BTreeMap::new();
        while said.len() < n_files {
            let message = self.next();
            self.answer(&message);
            if message["method"] == "textDocument/publishDiagnostics" {
                let params = &message["params"];
                let one = |it: &Value| {
                    let line = 1 + it["range"]["start"]["line"].as_u64().unwrap();
                    (line, it["message"].to_string())
                };
                let all = params["diagnostics"].as_array().unwrap().iter().map(one).collect();
                said.insert(params["uri"].as_str().unwrap().to_owned(), all);
            }
        }
        said
    }

    fn send(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = "2.0".into();
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the language server says something in time")
    }
}

/// The next message; none at the end.
fn read_message(from: &mut impl BufRead) -> Option<Value> {
    let mut len = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|it| *it != 0)?;
        match line.trim().split_once(": ") {
            Some(("Content-Length", number)) => len = number.parse().ok()?,
            Some(_) => (),
            None => break,
        }
    }
    let mut text = vec![0; len];
    from.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
