//! The client of the API: one call, and the body of its answer.
//!
//! Not here: what is called (each command), and what the answers mean (`api`).

use std::{
    fmt, fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
};

use reqwest::{Client, Method, RequestBuilder, Url};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    api::Problem,
    limits::{API_CLIENT_WAIT_MAX, DURATION_MAX},
};

/// Which server, and how it knows us.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Server {
    /// The server's API.
    #[arg(long = "server", value_name = "URL", env = "EVENKEEL_SERVER", default_value = DEFAULT)]
    url: Url,
    /// A file with the API's token in it; the variable holds the token itself.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the certificates that the server's has to come from, in PEM, instead of those that
    /// the system trusts.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

const DEFAULT: &str = "http://127.0.0.1:8053";

/// Why there is no answer, in one or more lines.
pub(super) enum Refused {
    /// Nothing was sent: the command line is wrong.
    Usage(String),
    /// The answer is no, or there is none.
    No(String),
}

impl Refused {
    /// Why, without the hint.
    pub(super) fn first_line(&self) -> &str {
        let (Self::Usage(text) | Self::No(text)) = self;
        text.lines().next().unwrap_or_default()
    }

    /// Says so.
    pub(super) fn say(&self) -> ExitCode {
        let (Self::Usage(text) | Self::No(text)) = self;
        eprintln!("{}", text.trim_end());
        if matches!(self, Self::Usage(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
    }
}

impl Server {
    /// Where it is.
    pub(super) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Whether it knows us by a token.
    pub(super) fn has_token(&self) -> bool {
        self.token().is_ok_and(|it| it.is_some())
    }

    /// Calls `path` with parameters and gives the body.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, Refused> {
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Refused::No(format!("the system gives no runtime: {error}")))?;
        runtime.block_on(self.call_with(token, method, path, parameters, String::new()))
    }

    /// Posts a body to `path` and gives that of the answer.
    pub(super) fn post_one(&self, path: &str, body: String) -> Result<String, Refused> {
        Ok(self.post(path, vec![body])?.pop().expect("each body has an answer"))
    }

    /// Posts bodies to `path`, one after the other, and gives those of the answers.
    pub(super) fn post(&self, path: &str, bodies: Vec<String>) -> Result<Vec<String>, Refused> {
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Refused::No(format!("the system gives no runtime: {error}")))?;
        let mut answers = Vec::with_capacity(bodies.len());
        for body in bodies {
            let call = self.call_with(token.clone(), Method::POST, path, &[], body);
            answers.push(runtime.block_on(call)?);
        }
        Ok(answers)
    }

    /// Calls `path` and gives each line of its answer as it comes, until enough was heard. That the
    /// answer ends before is an error.
    pub(super) fn lines(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        each: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), Refused> {
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Refused::No(format!("the system gives no runtime: {error}")))?;
        runtime.block_on(async {
            let request = self.request(token, Method::GET, path, parameters)?;
            let response = request.timeout(DURATION_MAX).send().await;
            let mut response = response.map_err(|error| self.unreached(&error))?;
            let status = response.status();
            if !status.is_success() {
                let text = response.text().await.map_err(|error| self.unreached(&error))?;
                return Err(Refused::No(refusal(status, &text)));
            }
            let mut begun = Vec::new();
            while let Some(chunk) =
                response.chunk().await.map_err(|error| self.unreached(&error))?
            {
                begun.extend_from_slice(&chunk);
                while let Some(end) = begun.iter().position(|it| *it == b'\n') {
                    let line: Vec<u8> = begun.drain(..=end).collect();
                    if each(String::from_utf8_lossy(&line).trim_end()).is_break() {
                        return Ok(());
                    }
                }
            }
            Err(Refused::No("the server ended the stream".to_owned()))
        })
    }

    async fn call_with(
        &self,
        token: Option<String>,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
        body: String,
    ) -> Result<String, Refused> {
        let request = self.request(token, method, path, parameters)?.body(body);
        let response = request.send().await.map_err(|error| self.unreached(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreached(&error))?;
        if status.is_success() { Ok(text) } else { Err(Refused::No(refusal(status, &text))) }
    }

    fn request(
        &self,
        token: Option<String>,
        method: Method,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<RequestBuilder, Refused> {
        let mut url = self.url.join(path).map_err(|error| self.unusable(&error))?;
        if !parameters.is_empty() {
            let text =
                form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
            url.set_query(Some(&text));
        }
        let client = client(self.roots(url.scheme())?).map_err(Refused::No)?;
        let request = client.request(method, url);
        Ok(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// The token of the file, else that of the environment.
    fn token(&self) -> Result<Option<String>, Refused> {
        let Some(path) = &self.token_file else {
            return Ok(std::env::var("EVENKEEL_TOKEN").ok().filter(|it| !it.is_empty()));
        };
        match read_token(path) {
            Ok(token) => Ok(Some(token)),
            Err(error) => Err(Refused::Usage(format!("`{}`: {error}", path.display()))),
        }
    }

    /// Whom the server's certificate has to come from.
    fn roots(&self, scheme: &str) -> Result<RootCertStore, Refused> {
        match (&self.ca, scheme) {
            (None, "https") => trusted().map_err(Refused::No),
            (None, _) => Ok(RootCertStore::empty()),
            (Some(path), "https") => {
                let roots = read_roots(path);
                roots.map_err(|error| Refused::Usage(format!("`{}`: {error}", path.display())))
            }
            (Some(_), _) => {
                let why = "`--ca` is for a server whose URL begins with `https://`";
                Err(Refused::Usage(why.to_owned()))
            }
        }
    }

    fn unusable(&self, error: &dyn fmt::Display) -> Refused {
        let server = &self.url;
        Refused::Usage(format!("`{server}` is not the URL of a server: {error}"))
    }

    fn unreached(&self, error: &reqwest::Error) -> Refused {
        let server = self.url.as_str().trim_end_matches('/');
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let why =
            if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        Refused::No(format!(
            "{server} cannot be asked: {why}\n\
             hint: is the server running? is `api` in its file? `--server URL` asks another one"
        ))
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM".to_owned()) } else { Ok(roots) }
}

fn read_token(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err("it has to hold one token in one line".to_owned());
    }
    Ok(token.to_owned())
}

fn client(trusted: RootCertStore) -> Result<Client, String> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("ring has the protocol versions of rustls")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(API_CLIENT_WAIT_MAX)
        .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// The system's trust store: a server behind a proxy with TLS is trusted as a browser trusts it.
fn trusted() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err("the system trusts no certificates".to_owned()) } else { Ok(roots) }
}

/// What the server says of a call that it refuses.
fn refusal(status: reqwest::StatusCode, text: &str) -> String {
    match serde_json::from_str::<Problem>(text) {
        Ok(problem) if !problem.names.is_empty() => left_text(&problem),
        Ok(problem) => problem_text(&problem),
        Err(_) => format!("the server says {status}; is that Evenkeel's API?"),
    }
}

/// A problem that `--force` overrules, with the names a line each.
fn left_text(problem: &Problem) -> String {
    let names = problem.names.iter().map(|it| format!("  {it}\n"));
    let rest = "hint: `--force` does it all the same; clients of these names then get SERVFAIL";
    let detail = format!("{}\n", problem.detail);
    [detail].into_iter().chain(names).chain([rest.to_owned()]).collect()
}

/// A problem as people read it.
pub(super) fn problem_text(problem: &Problem) -> String {
    let complaints = problem.complaints.iter().map(|it| format!("{it}\n"));
    let rest = format!("{}\nhint: {}", problem.detail, problem.hint);
    complaints.chain([rest]).collect()
}
