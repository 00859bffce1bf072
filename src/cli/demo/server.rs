//! The demo's server: a copy of the example in a temporary folder, and a `serve` that reads it.
//!
//! *Not here:* the example itself (`examples/three-regions/`).

use std::{
    fs,
    fs::File,
    io,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    clock,
    limits::{DEMO_TRIES_MAX, DRAIN_WAIT_MAX},
};

const SERVER_FILE: &str = include_str!("../../../examples/three-regions/evenkeel.yaml");
const ZONE_FILE: &str = include_str!("../../../examples/three-regions/zones/example.com.yaml");

/// What the example says where the demo puts in what is free.
const LISTEN: &str = "127.0.0.1:5300";
const API: &str = "127.0.0.1:8053";
const CHECK_PORT: &str = "port: 8080";

/// The files of the demo; the folder goes with the value.
pub(super) struct Site {
    folder: PathBuf,
}

impl Site {
    /// Writes the example with these ports into a new folder.
    pub(super) fn write(listen: SocketAddr, api: SocketAddr, check_port: u16) -> io::Result<Self> {
        let site = Self { folder: new_folder()? };
        fs::create_dir(site.folder.join("zones"))?;
        fs::write(site.server_file(), server_file(listen, api, check_port))?;
        fs::write(site.zone_file(), ZONE_FILE)?;
        Ok(site)
    }

    pub(super) fn server_file(&self) -> PathBuf {
        self.folder.join("evenkeel.yaml")
    }

    pub(super) fn zone_file(&self) -> PathBuf {
        self.folder.join("zones/example.com.yaml")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("serve.log")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // A folder that stays behind in the system's place for them does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn server_file(listen: SocketAddr, api: SocketAddr, check_port: u16) -> String {
    SERVER_FILE
        .replace(LISTEN, &listen.to_string())
        .replace(API, &api.to_string())
        .replace(CHECK_PORT, &format!("port: {check_port}"))
}

fn new_folder() -> io::Result<PathBuf> {
    let mut result = Err(io::ErrorKind::AlreadyExists.into());
    for attempt in 0..DEMO_TRIES_MAX {
        let name = format!("evenkeel-demo-{}-{attempt}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // It must not be there: who made it may have put links into it.
        result = fs::create_dir(&folder).map(|()| folder);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The process that serves.
pub(super) struct Server {
    child: Child,
    log_file: PathBuf,
    /// Octets of the log that were looked through for news.
    told: usize,
}

impl Server {
    pub(super) fn start(site: &Site) -> io::Result<Self> {
        let log_file = site.log_file();
        let log = File::create(&log_file)?;
        let child = Command::new(std::env::current_exe()?)
            .args([Path::new("serve"), Path::new("--config"), &site.server_file()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the demo, which then stops the server in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, log_file, told: 0 })
    }

    /// An error when the server has ended.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                Err(io::Error::other(format!("the server ended: {status}\n{}", self.log())))
            }
        }
    }

    /// What the server has said of its files since it was asked last.
    pub(super) fn news(&mut self) -> String {
        let log = self.log();
        let new = log.get(self.told..).unwrap_or_default();
        self.told = log.len();
        news(new)
    }

    /// What the server wrote.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log_file).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).expect("Linux numbers processes below 2^22");
        let end = clock::now() + DRAIN_WAIT_MAX;
        // The id is ours as long as nobody waited for the child.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            if end < clock::now() {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// That files were read anew, or what is wrong with them, without the dress of a log.
fn news(log: &str) -> String {
    let (mut news, mut is_news) = (String::new(), false);
    for line in log.lines() {
        // A line without a dress goes on with the one before.
        let words = match line.split_once(" evenkeel::app::control: ") {
            Some((dress, words)) => {
                is_news = dress.ends_with("ERROR") || words.starts_with("reloaded");
                words
            }
            None => line,
        };
        if is_news {
            news.push_str(words);
            news.push('\n');
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use super::{super::region::REGIONS, *};

    #[test]
    fn news_are_of_files() {
        let at = "2026-11-20T14:28:32.155589Z";
        let log = format!(
            "{at}  WARN evenkeel::app::control: verdict what=www.\n\
             {at} ERROR evenkeel::app::control: reload refused\n\
             {at} ERROR evenkeel::app::control: z.yaml:4:1: wrong\n  x\n  ^\nhint: y\n\
             {at}  INFO evenkeel::app::control: verdict what=www.\n\
             {at}  INFO evenkeel::app::control: reloaded generation=9\n"
        );
        let expect =
            "reload refused\nz.yaml:4:1: wrong\n  x\n  ^\nhint: y\nreloaded generation=9\n";
        assert_eq!(news(&log), expect);
    }

    #[test]
    fn the_example_is_what_the_demo_expects() {
        let [dns, api] = ["127.0.0.1:1234", "127.0.0.1:2345"].map(|it| it.parse().unwrap());
        let text = server_file(dns, api, 4321);
        assert!(text.contains("listen: [\"127.0.0.1:1234\"]"), "{text}");
        assert!(text.contains("api: { listen: \"127.0.0.1:2345\" }"), "{text}");
        assert!(text.contains("port: 4321"), "{text}");
        for (name, ip) in REGIONS {
            assert!(text.contains(&format!("\n  {name}:")), "no region {name}");
            assert!(ZONE_FILE.contains(&format!("A: {ip} }}")), "no endpoint {ip}");
        }
    }
}
