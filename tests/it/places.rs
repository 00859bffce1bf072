//! The shipped country data and three regions: networks that everyone knows go where geography says,
//! asked with dig, and `explain` says why.

use std::process::{Command, Stdio};

use crate::{process::evenkeel, server::Server};

const CONFIG: &str = "\
version: 1
listen: [\"127.0.0.1:0\"]
zones: zones/
api: { listen: \"127.0.0.1:0\" }
regions:
  us-east-1: { at: aws/us-east-1 }
  eu-west-1: { at: aws/eu-west-1 }
  ap-northeast-1: { at: aws/ap-northeast-1 }
";

const ZONE: &str = "\
zone: example.com
records:
  \"@\": { NS: ns1 }
  ns1: { A: 192.0.2.53 }
  www:
    ttl: 20s
    steer:
      by: latency
      pools:
        us-east-1: { A: 192.0.2.1 }
        eu-west-1: { A: 192.0.2.2 }
        ap-northeast-1: { A: 192.0.2.3 }
";

/// A network that is known to be in a country, and the region next to it.
const NETWORKS: &[(&str, &str, &str)] = &[
    ("8.8.8.0/24", "US", "us-east-1"),
    ("200.160.0.0/24", "BR", "us-east-1"),
    ("81.2.69.0/24", "GB", "eu-west-1"),
    ("41.231.0.0/24", "TN", "eu-west-1"),
    ("133.11.0.0/24", "JP", "ap-northeast-1"),
    ("1.1.1.0/24", "AU", "ap-northeast-1"),
    ("2a02:6b8::/48", "RU", "eu-west-1"),
];

#[test]
fn well_known_networks_go_where_geography_says() {
    let server = Server::start(&[("evenkeel.yaml", CONFIG), ("zones/example.com.yaml", ZONE)]);
    let api = server.log().iter().find_map(|line| {
        line.split_once(" api=").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned())
    });
    let api = format!("http://{}", api.expect("the ready line says where the API is"));
    let regions = ["us-east-1", "eu-west-1", "ap-northeast-1"];
    for (network, country, region) in NETWORKS {
        let host = regions.iter().position(|it| it == region).unwrap() + 1;
        let said = dig(&server, network);
        assert_eq!(said.trim(), format!("192.0.2.{host}"), "{network}");

        let client = network.split('/').next().unwrap();
        let mut command = evenkeel();
        command.args(["explain", "www.example.com", "--client", client, "--server", &api]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let line = |stage: &str| {
            let found = text.lines().find(|it| it.trim_start().starts_with(stage));
            found.unwrap_or_else(|| panic!("no `{stage}` in:\n{text}")).to_owned()
        };
        assert!(line("place").contains(country), "{network}:\n{text}");
        assert!(line("near").contains(region), "{network}:\n{text}");
        assert!(line("near").contains(" ms"), "{network}:\n{text}");
    }
    assert!(server.stop().0.success());
}

fn dig(server: &Server, network: &str) -> String {
    let mut command = Command::new("dig");
    command.args(["@127.0.0.1", "-p", &server.address.port().to_string(), "+short", "+tries=1"]);
    command.arg(format!("+subnet={network}")).args(["www.example.com", "A"]);
    let output = command.stdin(Stdio::null()).output().expect("tests/run installs dig");
    String::from_utf8(output.stdout).expect("dig writes text")
}
