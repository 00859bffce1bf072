//! What the documents show works: their YAML passes `check`, and so do the files that are shipped.
//!
//! A block that starts with `version:` is a server file, one that starts with `zone:` a zone. The
//! blocks of a document belong together. Others are mistakes: whoever reads would try them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    api::{call, run},
    process::evenkeel,
    server::Server,
};

/// The documents with files in them.
const DOCUMENTS: [&str; 5] =
    ["README.md", "docs/configuration.md", "docs/api.md", "docs/health.md", "docs/operations.md"];

#[test]
fn yaml_in_documents_passes_check() {
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("zones")).unwrap();
        let (mut servers, mut zones) = (0, 0);
        for block in yaml_blocks(&text) {
            if block.starts_with("version:") {
                fs::write(folder.path().join("evenkeel.yaml"), block).unwrap();
                servers += 1;
            } else if block.starts_with("zone:") {
                fs::write(folder.path().join(format!("zones/{zones}.yaml")), block).unwrap();
                zones += 1;
            } else {
                panic!("{document}: neither a server file nor a zone:\n{block}");
            }
        }
        assert!(servers == 1 && 0 < zones, "{document}: {servers} server files, {zones} zones");
        check(&folder.path().join("evenkeel.yaml"), document);
    }
}

#[test]
fn what_the_page_on_the_api_shows_is_what_it_says() {
    let text = fs::read_to_string(root().join("docs/api.md")).unwrap();
    let mut files = yaml_blocks(&text);
    let server_file = files.next().unwrap().replace("5300", "0").replace("8053", "0");
    let zone = files.next().unwrap();
    let server =
        Server::start(&[("evenkeel.yaml", &*server_file), ("zones/example.com.yaml", zone)]);
    let api = server.api.expect("the page has an API");
    let url = format!("http://{api}");
    for block in text.split("```console\n$ evenkeel ").skip(1) {
        let block = block.split("```").next().unwrap();
        let (command, expected) = block.split_once('\n').unwrap();
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--server", &url]);
        assert_eq!(
            run(&arguments),
            (0, expected.replace("0.1.0", env!("CARGO_PKG_VERSION"))),
            "{command}"
        );
    }
    let calls = text.lines().filter_map(|line| line.strip_prefix("curl "));
    let mut n_calls = 0;
    for line in calls {
        let (options, path) = line.split_once("http://127.0.0.1:8053").unwrap();
        let method = if options.contains("POST") { "POST" } else { "GET" };
        assert_eq!(call(api, method, path, &[], b"").status, 200, "{line}");
        n_calls += 1;
    }
    assert_eq!(n_calls, 15);
}

/// The page for the night is typed from its top to its end.
#[test]
fn what_to_do_at_night_works() {
    let text = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let mut files = yaml_blocks(&text);
    let server_file = files.next().unwrap();
    let server_file =
        server_file.replace("0.0.0.0:5300\", \"[::]:5300", "127.0.0.1:0").replace("8053", "0");
    let zone = files.next().unwrap();
    let server =
        Server::start(&[("evenkeel.yaml", &*server_file), ("zones/example.com.yaml", zone)]);
    let (at, url) = (server.address.to_string(), format!("http://{}", server.api.unwrap()));
    let config = server.path("evenkeel.yaml");

    let (_, night) = text.split_once("\n## At 2:14\n").unwrap();
    let blocks = night.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap());
    let mut answers = Vec::new();
    for line in blocks.flat_map(str::lines) {
        let mut words = words(line);
        assert_eq!(words.remove(0), "evenkeel", "{line}");
        match words[0] {
            "query" => words.extend(["--at", &at]),
            "check" => *words.last_mut().unwrap() = config.to_str().unwrap(),
            _ => words.extend(["--server", &url]),
        }
        let (code, said) = run(&words);
        assert_eq!(code, 0, "{line}\n{said}");
        if words[0] == "query" {
            answers.push(said);
        }
    }
    // Who is in New York gets the region there; when that was taken out, the other.
    let [before, after] = &answers[..] else { panic!("two questions: {answers:#?}") };
    let has = |answer: &str, address: &str| answer.contains(&format!("\tA\t{address}\n"));
    assert!(has(before, "192.0.2.10") && has(before, "192.0.2.11"), "{before}");
    assert!(has(after, "198.51.100.10") && !has(after, "192.0.2.10"), "{after}");
}

/// The words of a command as a shell takes them; all quotes here are double ones.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(idx, part)| match idx % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        })
        .collect()
}

#[test]
fn shipped_files_pass_check() {
    for file in
        ["evenkeel.yaml", "examples/three-regions/evenkeel.yaml", "examples/compose/evenkeel.yaml"]
    {
        check(&root().join(file), file);
    }
}

#[test]
fn every_key_is_in_the_manual() {
    let manual = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    // A key of the format is a public field of a mirror, in the code that reads it.
    for mirror in ["src/config/server.rs", "src/config/check.rs", "src/config/zone.rs"] {
        let text = fs::read_to_string(root().join(mirror)).unwrap();
        let fields = text.lines().filter_map(|line| line.trim().strip_prefix("pub "));
        let keys = fields.filter_map(|field| field.split_once(": Field<")).map(|(key, _)| key);
        for key in keys {
            let key = key.trim_start_matches("r#");
            let key =
                if ["a", "aaaa", "cname"].contains(&key) { key.to_uppercase() } else { key.into() };
            assert!(manual.contains(&key), "`{key}` of {mirror} is not in the manual");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text[at..].split_at(2)) {
            let target = rest.split(')').next().unwrap();
            assert!(root().join(target).exists(), "{document}: `{target}` is not there");
        }
    }
}

#[track_caller]
fn check(config: &Path, what: &str) {
    let output = evenkeel()
        .arg("check")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .expect("the command under test is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}:\n{said}");
}

/// The blocks between `` ```yaml `` and `` ``` ``.
fn yaml_blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
