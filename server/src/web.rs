//! What every handler of the web role gets: the platform, sign-in, and how to reach the gateway.

use crate::{
    built_files::Names,
    config::Config,
    signin::{SignIn, token_people::TokenPeople},
};
use app::shell::Files;
use platform::Platform;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct Web {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    platform: Platform,
    sign_in: Arc<SignIn>,
    tokens: TokenPeople,
    files: Names,
    /// To the gateway; never follows a redirect.
    http: reqwest::Client,
    /// Cancelled when the portal stops: streams then end.
    stopping: CancellationToken,
}

impl Web {
    pub fn new(
        config: Config,
        platform: Platform,
        sign_in: Arc<SignIn>,
        tokens: TokenPeople,
        stopping: CancellationToken,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(std::time::Duration::from_secs(5))
            .build()?;
        let files = Names::of(&config.site);
        Ok(Self { inner: Arc::new(Inner { config, platform, sign_in, tokens, files, http, stopping }) })
    }

    pub fn config(&self) -> &Config {
        &self.inner.config
    }
    pub fn platform(&self) -> &Platform {
        &self.inner.platform
    }
    pub fn sign_in(&self) -> &SignIn {
        &self.inner.sign_in
    }
    pub fn tokens(&self) -> &TokenPeople {
        &self.inner.tokens
    }
    /// The names of the browser's files.
    pub fn files(&self) -> Files {
        self.inner.files.now()
    }
    pub fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }
}
