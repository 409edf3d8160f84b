//! `dailies health`: asks a process of this machine whether it is well, so that an image needs no other HTTP client.

use std::time::Duration;

use reqwest::{StatusCode, Url};

/// How long an answer may take; whoever asks regularly asks again.
const ANSWER: Duration = Duration::from_secs(3);

/// Why a process counts as unwell.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It does not answer.
    #[error("{url} does not answer")]
    Silent {
        /// What was asked.
        url: Url,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// It says so itself.
    #[error("{url} answers {status}: {said}")]
    Unwell {
        /// What was asked.
        url: Url,
        /// The answer's status.
        status: StatusCode,
        /// The beginning of its body.
        said: String,
    },
}

/// Well is whoever answers with a success; a redirection is none.
pub async fn ask(url: Url) -> Result<(), HealthError> {
    let silent = |source| HealthError::Silent { url: url.clone(), source };
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).redirect(reqwest::redirect::Policy::none());
    let answer = client.build().map_err(silent)?.get(url.clone()).send().await.map_err(silent)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.text().await.unwrap_or_default().chars().take(500).collect();
    Err(HealthError::Unwell { url, status, said })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn asked_of(answer: &'static str) -> Result<(), HealthError> {
        // The first test of a process may have chosen already; the choice is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(async move {
            let (mut line, _) = listener.accept().await.expect("somebody asks");
            let mut request = [0; 1024];
            let _ = line.read(&mut request).await.expect("a request");
            line.write_all(answer.as_bytes()).await.expect("it listens");
        });
        ask(format!("http://{address}/health/ready").parse().expect("a URL")).await
    }

    #[tokio::test]
    async fn only_a_success_is_well() {
        asked_of("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("it is well");
        let unwell = asked_of("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nno NATS").await;
        assert!(unwell.expect_err("it says so").to_string().ends_with("503 Service Unavailable: no NATS"));
        asked_of("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect_err("it leads elsewhere");
        assert!(matches!(asked_of("").await, Err(HealthError::Silent { .. })));
    }
}
