//! What the provider says of itself, and its keys: asked once for everybody, used while it is away, and not asked again at once after
//! it failed.

use super::{http::Http, keys::Key};
use domain::causes;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use openidconnect::{
    AdditionalProviderMetadata, EndSessionUrl, IssuerUrl, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJweContentEncryptionAlgorithm,
        CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
    },
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// What providers may say beyond OpenID Connect Discovery.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Beyond {
    /// Where the session at the provider is ended too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<EndSessionUrl>,
    /// Every answer to us will carry `iss` (RFC 9207); one without it is somebody else's.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}
impl AdditionalProviderMetadata for Beyond {}

pub type Description = ProviderMetadata<
    Beyond,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    Key,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// How long a description is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long it still serves while the provider does not answer: keys that were taken back there must end here too.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long description and keys together may take to come.
const WITHIN: Duration = Duration::from_secs(8);
/// Waiting after the first failure; doubles with each, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How lately the provider must have answered for somebody to be sent there.
const SEEN_LATELY: Duration = Duration::from_secs(15);
/// Tokens that are signed with a key that we do not know make us ask for the keys at most this often.
const KEYS_AGAIN: Duration = Duration::from_secs(30);

type Asked = Result<Arc<Description>, Arc<str>>;
type Flight = Shared<BoxFuture<'static, Asked>>;

#[derive(Default)]
struct State {
    known: Option<(Arc<Description>, Instant)>,
    failed: Option<Failed>,
    /// The question that is under way, for everybody who waits for it.
    flight: Option<Flight>,
    keys_asked: Option<Instant>,
}

struct Failed {
    why: Arc<str>,
    at: Instant,
    in_a_row: u32,
}

impl Failed {
    fn rests(&self, now: Instant) -> bool {
        let wait = FIRST_WAIT.saturating_mul(1 << self.in_a_row.saturating_sub(1).min(10)).min(LONGEST_WAIT);
        now.saturating_duration_since(self.at) < wait
    }
}

/// What to do for somebody who needs the description.
enum Plan {
    Use(Arc<Description>),
    /// And ask behind the back of whoever came.
    UseAndAsk(Arc<Description>),
    Ask,
    Fail(Arc<str>),
}

impl State {
    fn plan(&self, now: Instant) -> Plan {
        let rests = self.failed.as_ref().filter(|f| f.rests(now));
        match &self.known {
            Some((known, at)) => match now.saturating_duration_since(*at) {
                age if age < FRESH => Plan::Use(known.clone()),
                age if age < STALE && rests.is_some() => Plan::Use(known.clone()),
                age if age < STALE => Plan::UseAndAsk(known.clone()),
                _ => rests.map_or(Plan::Ask, |f| Plan::Fail(f.why.clone())),
            },
            None => rests.map_or(Plan::Ask, |f| Plan::Fail(f.why.clone())),
        }
    }

    /// The same for somebody who is to be sent to the provider: what it said an hour ago does not tell whether it is there.
    fn plan_to_send_there(&self, now: Instant) -> Plan {
        match (&self.failed, &self.known) {
            (Some(failed), _) if failed.rests(now) => Plan::Fail(failed.why.clone()),
            (None, Some((known, at))) if now.saturating_duration_since(*at) < SEEN_LATELY => Plan::Use(known.clone()),
            _ => Plan::Ask,
        }
    }

    /// Whether a token with an unknown key may make us ask now; counts as asked.
    fn may_ask_for_keys(&mut self, now: Instant) -> bool {
        let may = self.keys_asked.is_none_or(|at| now.saturating_duration_since(at) >= KEYS_AGAIN)
            && !self.failed.as_ref().is_some_and(|f| f.rests(now));
        if may {
            self.keys_asked = Some(now);
        }
        may
    }

    fn landed(&mut self, asked: &Asked, now: Instant) {
        self.flight = None;
        match asked {
            Ok(description) => {
                self.known = Some((description.clone(), now));
                self.failed = None;
            }
            Err(why) => {
                let in_a_row = self.failed.as_ref().map_or(0, |f| f.in_a_row).saturating_add(1);
                self.failed = Some(Failed { why: why.clone(), at: now, in_a_row });
            }
        }
    }
}

pub struct Discovery {
    issuer: String,
    http: Http,
    state: Mutex<State>,
}

impl Discovery {
    pub fn new(issuer: String, http: Http) -> Arc<Self> {
        Arc::new(Self { issuer, http, state: Mutex::default() })
    }

    /// The description, as old as [`STALE`] at most; an error says why there is none.
    pub async fn description(self: &Arc<Self>) -> Asked {
        self.by(State::plan).await
    }

    /// The description of a provider that answers now: whoever is sent to one that is away sees what the browser says of it, and no next step.
    pub async fn description_of_one_that_answers(self: &Arc<Self>) -> Asked {
        self.by(State::plan_to_send_there).await
    }

    async fn by(self: &Arc<Self>, plan: fn(&State, Instant) -> Plan) -> Asked {
        let flight = {
            let mut state = self.state();
            match plan(&state, Instant::now()) {
                Plan::Use(description) => return Ok(description),
                Plan::UseAndAsk(description) => {
                    drop(self.ask(&mut state));
                    return Ok(description);
                }
                Plan::Fail(why) => return Err(why),
                Plan::Ask => self.ask(&mut state),
            }
        };
        flight.await
    }

    /// The description as it is now, for a token whose key is not among those that we know. None = asked too lately.
    pub async fn with_newer_keys(self: &Arc<Self>) -> Option<Asked> {
        let flight = {
            let mut state = self.state();
            let under_way = state.flight.clone().filter(|f| f.peek().is_none());
            match under_way {
                Some(flight) => flight,
                None if state.may_ask_for_keys(Instant::now()) => self.ask(&mut state),
                None => return None,
            }
        };
        Some(flight.await)
    }

    /// One question at a time; it goes on when whoever asked has left.
    fn ask(self: &Arc<Self>, state: &mut State) -> Flight {
        // One that is over and still here has panicked.
        if let Some(flight) = state.flight.as_ref().filter(|f| f.peek().is_none()) {
            return flight.clone();
        }
        let this = self.clone();
        let asking = tokio::spawn(async move {
            let asked = this.really_ask().await;
            this.state().landed(&asked, Instant::now());
            asked
        });
        let flight = async move { asking.await.unwrap_or_else(|_| Err("asking broke off".into())) }.boxed().shared();
        state.flight = Some(flight.clone());
        flight
    }

    async fn really_ask(&self) -> Asked {
        let issuer = IssuerUrl::new(self.issuer.clone()).map_err(|e| Arc::from(e.to_string()))?;
        match tokio::time::timeout(WITHIN, Description::discover_async(issuer, &self.http)).await {
            Ok(found) => found.map(Arc::new).map_err(|e| causes::in_words(&e).into()),
            Err(_) => Err(format!("no whole answer within {} s", WITHIN.as_secs()).into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::{AuthUrl, JsonWebKeySetUrl};

    fn description() -> Arc<Description> {
        let url = "https://sso.example";
        let description = Description::new(
            IssuerUrl::new(url.into()).unwrap(),
            AuthUrl::new(url.into()).unwrap(),
            JsonWebKeySetUrl::new(url.into()).unwrap(),
            Vec::new(),
            Vec::new(),
            Vec::new(),
            Beyond::default(),
        );
        Arc::new(description)
    }
    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn after_a_failure_nobody_asks_for_a_while_that_grows_to_half_a_minute() {
        let began = Instant::now();
        let mut state = State::default();
        assert!(matches!(state.plan(began), Plan::Ask));
        for (failures, rests) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
            state.landed(&Err("silent".into()), began);
            let almost = began + seconds(rests) - Duration::from_millis(1);
            assert!(matches!(state.plan(almost), Plan::Fail(why) if &*why == "silent"), "{failures}");
            assert!(matches!(state.plan(began + seconds(rests)), Plan::Ask), "{failures}");
        }
        state.landed(&Ok(description()), began);
        state.landed(&Err("silent".into()), began);
        assert_eq!(state.failed.unwrap().in_a_row, 1, "an answer begins the count anew");
    }

    #[test]
    fn a_description_serves_a_day_while_the_provider_is_away_and_no_longer() {
        let began = Instant::now();
        let mut state = State::default();
        state.landed(&Ok(description()), began);
        assert!(matches!(state.plan(began + FRESH - seconds(1)), Plan::Use(_)));
        assert!(matches!(state.plan(began + FRESH), Plan::UseAndAsk(_)));
        state.landed(&Err("silent".into()), began + FRESH);
        assert!(matches!(state.plan(began + FRESH), Plan::Use(_)), "it is not asked at once again");
        assert!(matches!(state.plan(began + FRESH + seconds(2)), Plan::UseAndAsk(_)));
        assert!(matches!(state.plan(began + STALE), Plan::Ask), "keys that were taken back there end here too");
    }

    #[test]
    fn nobody_is_sent_to_a_provider_that_was_not_heard_of_lately_or_that_just_failed() {
        let began = Instant::now();
        let mut state = State::default();
        state.landed(&Ok(description()), began);
        assert!(matches!(state.plan_to_send_there(began + SEEN_LATELY - seconds(1)), Plan::Use(_)));
        assert!(matches!(state.plan_to_send_there(began + SEEN_LATELY), Plan::Ask));
        state.landed(&Err("silent".into()), began + SEEN_LATELY);
        assert!(matches!(state.plan_to_send_there(began + SEEN_LATELY), Plan::Fail(why) if &*why == "silent"));
        assert!(matches!(state.plan_to_send_there(began + SEEN_LATELY + seconds(1)), Plan::Ask), "as soon as it may be asked again");
        assert!(matches!(state.plan(began + SEEN_LATELY), Plan::Use(_)), "what we know of it serves for everything else");
    }

    #[test]
    fn unknown_keys_are_asked_for_once_in_half_a_minute() {
        let began = Instant::now();
        let mut state = State::default();
        state.landed(&Ok(description()), began);
        assert!(state.may_ask_for_keys(began), "the first time at once, however fresh the description is");
        assert!(!state.may_ask_for_keys(began + KEYS_AGAIN - seconds(1)));
        assert!(state.may_ask_for_keys(began + KEYS_AGAIN));
    }
}
