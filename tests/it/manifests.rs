//! The examples for containers: manifests that are what their schemas want, with files in them that pass
//! `check`.
//!
//! `tests/run` puts the schemas, as Python packages carry them, into `target/python`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process::evenkeel;

/// Says what is wrong with a Compose file.
const COMPOSE: &str = "\
import compose, json, jsonschema, pathlib, sys, yaml
schema = pathlib.Path(compose.__file__).parent / 'config/compose_spec.json'
validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
wrong = list(validator.iter_errors(yaml.safe_load(open(sys.argv[1]))))
print(*wrong, sep='\\n')
sys.exit(bool(wrong))
";

/// Writes the files of a `ConfigMap` to where the pod has them, and the token to where its file says.
const CONFIG_MAP: &str = "\
import pathlib, sys, yaml
folder = pathlib.Path(sys.argv[2])
documents = list(yaml.safe_load_all(open(sys.argv[1])))
[config] = [it for it in documents if it['kind'] == 'ConfigMap']
[deployment] = [it for it in documents if it['kind'] == 'Deployment']
[volume] = [it for it in deployment['spec']['template']['spec']['volumes'] if 'configMap' in it]
for item in volume['configMap']['items']:
    path = folder / item['path']
    path.parent.mkdir(exist_ok=True)
    text = config['data'][item['key']]
    path.write_text(text.replace('/run/secrets/evenkeel/', '').replace('/var/lib/evenkeel', 'state'))
[secret] = [it for it in documents if it['kind'] == 'Secret']
for name, text in secret['stringData'].items():
    (folder / name).write_text(text)
";

#[test]
fn the_compose_file_is_one() {
    let file = root().join("examples/compose/compose.yaml");
    say(python().args(["-c", COMPOSE]).arg(file));
}

#[test]
fn the_kubernetes_manifest_is_one_and_its_files_pass_check() {
    let manifest = root().join("examples/kubernetes/evenkeel.yaml");
    say(python().args(["-m", "kubernetes_validate", "--strict"]).arg(&manifest));
    let folder = tempfile::tempdir().unwrap();
    say(python().args(["-c", CONFIG_MAP]).arg(&manifest).arg(folder.path()));
    assert!(fs::read_dir(folder.path().join("zones")).unwrap().next().is_some());
    say(evenkeel().args(["check", "--config"]).arg(folder.path().join("evenkeel.yaml")));
}

/// The server file of the Debian package stands beside other zones than in the tree.
#[test]
fn the_packages_files_pass_check() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("zones")).unwrap();
    for (from, to) in [
        ("packaging/evenkeel.yaml", "evenkeel.yaml"),
        ("zones/example.com.yaml", "zones/example.com.yaml"),
    ] {
        fs::copy(root().join(from), folder.path().join(to)).unwrap();
    }
    say(evenkeel().args(["check", "--config"]).arg(folder.path().join("evenkeel.yaml")));
}

fn python() -> Command {
    Command::new(root().join("target/python/bin/python"))
}

/// Runs a command that has nothing to complain of.
#[track_caller]
fn say(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `tests/run` installs what the tests need")
    });
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&said));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
