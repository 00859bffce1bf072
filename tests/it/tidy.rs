//! Properties of the source itself, checked like any other property.
//!
//! The table below is the architecture. A module may use the modules on its own line and nothing
//! else of the package; a new arrow is a change to this file, and so is seen in review.
//!
//! *Not here:* what clippy can check (`clippy.toml`: who reads the clock, how long a function is).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module, and the modules it may use: the order is from the ground upwards.
const MAY_USE: &[(&str, &[&str])] = &[
    // What both planes stand on.
    ("limits", &[]),
    ("ids", &[]),
    ("clock", &[]),
    ("dice", &[]),
    // The data plane.
    ("wire", &["limits"]),
    ("zone", &["limits", "ids", "wire"]),
    ("geo", &[]),
    ("steer", &["limits", "dice", "wire", "geo"]),
    ("counters", &["limits", "wire", "geo"]),
    ("tally", &["ids", "wire", "steer", "counters"]),
    ("snapshot", &["limits", "ids", "wire", "zone", "geo", "steer", "counters", "tally"]),
    ("explain", &["limits", "dice", "wire", "zone", "geo", "steer", "snapshot"]),
    (
        "answer",
        &[
            "limits", "ids", "dice", "wire", "zone", "geo", "steer", "counters", "tally",
            "snapshot", "explain",
        ],
    ),
    ("serve", &["limits", "clock", "dice", "counters", "wire", "snapshot", "answer"]),
    // The control plane.
    ("config", &["limits"]),
    ("health", &["limits", "ids", "clock", "dice"]),
    ("compile", &["limits", "ids", "wire", "zone", "geo", "steer", "config", "health"]),
    (
        "state",
        &[
            "limits", "ids", "clock", "wire", "zone", "geo", "steer", "counters", "tally",
            "snapshot", "health", "compile",
        ],
    ),
    (
        "api",
        &[
            "limits", "clock", "wire", "geo", "steer", "counters", "tally", "snapshot", "explain",
            "config", "compile", "state",
        ],
    ),
    (
        "app",
        &[
            "limits", "clock", "counters", "snapshot", "serve", "config", "health", "compile",
            "state", "api",
        ],
    ),
    (
        "cli",
        &[
            "limits", "clock", "dice", "wire", "geo", "explain", "config", "compile", "state",
            "api", "app",
        ],
    ),
    ("main", &[]),
];

/// The data plane: between a packet and its reply there is nothing else.
const DATA_PLANE: &[&str] =
    &["wire", "zone", "geo", "steer", "snapshot", "explain", "answer", "serve"];

/// Lines of a file under `src`, tests and all. What is longer is two modules.
const FILE_LINES_MAX: usize = 700;

#[test]
fn arrows_point_one_way() {
    // A module may only use modules above it, so the table has no cycles by construction.
    for (row, (module, uses)) in MAY_USE.iter().enumerate() {
        for used in *uses {
            let above = MAY_USE[..row].iter().any(|(name, _)| name == used);
            assert!(above, "`{used}` is not above `{module}` in the table");
        }
    }
}

#[test]
fn the_table_keeps_the_planes_apart() {
    let uses = |module: &str| MAY_USE.iter().find(|(name, _)| *name == module).unwrap().1;
    for module in DATA_PLANE {
        for used in ["config", "compile", "health", "state", "api", "app", "cli"] {
            assert!(!uses(module).contains(&used), "`{module}` is data plane, `{used}` is not");
        }
    }
    for unknown in ["wire", "zone", "geo", "steer", "snapshot"] {
        assert!(!uses("health").contains(&unknown), "`health` knows no `{unknown}`");
    }
    assert!(!uses("steer").contains(&"health"), "`steer` knows no probes");
}

#[test]
fn modules_use_what_the_table_allows() {
    for_each_source(&mut |source| {
        if source.module == "lib" {
            return None;
        }
        let Some((_, uses)) = MAY_USE.iter().find(|(name, _)| *name == source.module) else {
            return Some(format!("`{}` is not in the table", source.module));
        };
        let wrong: Vec<_> = modules_used(&source.text)
            .into_iter()
            .filter(|used| *used != source.module && !uses.contains(&used.as_str()))
            .collect();
        (!wrong.is_empty()).then(|| format!("`{}` may not use `{wrong:?}`", source.module))
    });
}

#[test]
fn every_module_says_what_it_is_for() {
    for_each_source(&mut |source| {
        (!source.text.starts_with("//! ")).then(|| "no module header".to_owned())
    });
}

#[test]
fn no_file_is_too_long() {
    for_each_source(&mut |source| {
        let lines = source.text.lines().count();
        (FILE_LINES_MAX < lines).then(|| format!("{lines} lines, more than {FILE_LINES_MAX}"))
    });
}

#[test]
fn only_batched_socket_calls_are_unsafe() {
    for_each_source(&mut |source| {
        let exempt = source.path.starts_with("serve/batch");
        (!exempt && mentions(&source.code(), "unsafe")).then(|| "`unsafe`".to_owned())
    });
}

#[test]
fn serde_stays_at_the_edge() {
    for_each_source(&mut |source| {
        // A record of a GeoIP file is a mirror of what came from outside, like those of `config`; so
        // is the body of a probe's response.
        let at_the_edge = ["config", "api", "drill", "cli"].contains(&source.module.as_str())
            // What is on the disk comes from another start, and perhaps from another version.
            || ["compile/geoip/record.rs", "health/probe/json.rs", "state/store/rows.rs"]
                .contains(&&*source.path)
            // So is what the process before says.
            || source.path == "app/takeover/letter.rs";
        let code = source.code();
        let found = ["serde", "serde_json", "Serialize", "Deserialize"]
            .into_iter()
            .find(|word| !at_the_edge && mentions(&code, word));
        found.map(|word| format!("`{word}` outside of the modules that face the outside"))
    });
}

#[test]
fn every_call_is_described() {
    // A route that is made of described calls is added by `routes`, and is in the description.
    for_each_source(&mut |source| {
        // The page is for people, and what it calls is described.
        let is_api = source.module == "api" && source.path != "api/page.rs";
        let adds = [".route(", ".route_service(", ".nest_service("];
        let found = adds.into_iter().find(|it| is_api && source.code().contains(it));
        found.map(|it| format!("`{it}` adds a route that is in no description"))
    });
}

#[test]
fn the_core_does_no_io() {
    // What is written here is found at any depth: a helper that reads a file would do too.
    let outside = ["std::fs", "std::net::UdpSocket", "tokio", "tracing", "socket2", "libc"];
    for_each_source(&mut |source| {
        let modules = [
            "wire", "zone", "geo", "steer", "snapshot", "explain", "answer", "limits", "ids",
            "dice",
        ];
        let code = source.code();
        let found = outside
            .into_iter()
            .find(|word| modules.contains(&source.module.as_str()) && mentions(&code, word));
        found.map(|word| format!("`{word}` between a question and its answer"))
    });
}

#[test]
fn only_publish_replaces_the_snapshot() {
    for_each_source(&mut |source| {
        let code = source.code();
        // An atomic is stored with an ordering, a snapshot without.
        let orderings = ["Relaxed", "Release"];
        let is_swap = |call: &str| {
            let line = call.lines().next().unwrap_or_default();
            !orderings.iter().any(|it| line.contains(it))
        };
        let swaps = code.contains("ArcSwap") && code.split(".store(").skip(1).any(is_swap);
        (swaps && source.path != "state/publish.rs").then(|| "a swap outside of `publish`".into())
    });
}

#[test]
fn what_the_documents_promise_exists() {
    for path in [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "docs/api.md",
        "docs/configuration.md",
        "docs/operations.md",
        "docs/performance.md",
        "docs/running.md",
        "evenkeel.yaml",
        "examples/three-regions/evenkeel.yaml",
        "tests/run",
        "zones/example.com.yaml",
    ] {
        assert!(root().join(path).is_file(), "no `{path}`");
    }
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(changelog.contains(&format!("## {version}")), "CHANGELOG.md has no `## {version}`");
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(architecture.lines().count() < 300, "ARCHITECTURE.md is a map, not an atlas");
    for (module, _) in MAY_USE {
        assert!(architecture.contains(&format!("`{module}`")), "no `{module}` in ARCHITECTURE.md");
    }
}

#[test]
fn modules_used_reads_all_forms() {
    let check = |text, expect: &[&str]| {
        assert!(modules_used(text).iter().eq(expect), "{text}");
    };
    check("use crate::wire::Query;", &["wire"]);
    check("use crate::{\n    steer::{Footing, Roll},\n    wire,\n};", &["steer", "wire"]);
    check("fn f(q: &crate::zone::Zone) {}", &["zone"]);
    check("// crate::nothing in a comment counts too, on purpose", &["nothing"]);
}

#[test]
fn mentions_finds_words_and_not_parts_of_words() {
    assert!(mentions("use serde::Serialize;", "serde"));
    assert!(!mentions("use observed_errors;", "serde"));
    assert!(!mentions("fn make_unsafe_name() {}", "unsafe"));
}

/// A file under `src`.
struct Source {
    /// The top-level module it belongs to.
    module: String,
    /// From `src` on.
    path: String,
    text: String,
}

impl Source {
    /// The text without whole-line comments.
    fn code(&self) -> String {
        let code = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.collect::<Vec<_>>().join("\n")
    }
}

/// Collects what `complain` says of each file under `src`, and fails with all of it.
fn for_each_source(complain: &mut dyn FnMut(&Source) -> Option<String>) {
    let src = root().join("src");
    let mut complaints = Vec::new();
    let mut pending = vec![src.clone()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
                let module = path.split(['/', '.']).next().unwrap().to_owned();
                let source = Source { module, path, text };
                complaints.extend(complain(&source).map(|it| format!("{}: {it}", source.path)));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The top-level modules named after `crate::` in `text`, alone or in braces.
fn modules_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut at_item = true;
        for (offset, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_item = true,
                _ if at_item && character.is_alphabetic() => {
                    used.insert(word(&group[offset..]));
                    at_item = false;
                }
                _ => (),
            }
        }
    }
    used
}

/// The identifier at the start of `text`.
fn word(text: &str) -> String {
    text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

/// Whether `needle` occurs in `text` and is not part of a longer word.
fn mentions(text: &str, needle: &str) -> bool {
    let in_word = |it: char| it.is_alphanumeric() || it == '_';
    text.match_indices(needle).any(|(at, _)| {
        !text[..at].ends_with(in_word) && !text[at + needle.len()..].starts_with(in_word)
    })
}
