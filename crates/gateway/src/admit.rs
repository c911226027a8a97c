//! What the caller may have: a tenant that is not suspended, a model of its own, what the endpoint takes, within the limits.

use crate::{
    asked::{Asked, Demand},
    authenticate::Authenticated,
    errors::Refusal,
    limits::{Ask, Ledger, OverLimit, RateLimits, Reservation, What},
};
use domain::{directory::Route, serving::is_guarded};
use std::sync::Arc;

/// Tokens of a call's prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// At most as many as its bytes allow.
    Bound,
    /// Counted by the model's own tokenizer.
    Counted(u64),
}

/// A call within the limits.
pub(crate) struct Admitted {
    pub reservation: Option<Reservation>,
    pub rate_limits: RateLimits,
    /// The most tokens of each answer that the model server is to be told, where the client left it open.
    pub told: Option<u64>,
}

impl<'d> Authenticated<'d> {
    pub(crate) fn is_active(&self) -> Result<(), Refusal> {
        if self.entry.active { Ok(()) } else { Err(Refusal::suspended()) }
    }

    /// The route of a model id: `model`, or `tenant/model` with the caller's own tenant. Another tenant's model is answered
    /// like one that does not exist.
    pub(crate) fn route(&self, model: &str) -> Result<(&'d str, &'d Route), Refusal> {
        let own = || model.strip_prefix(self.tenant.as_str())?.strip_prefix('/');
        let routes = &self.entry.routes;
        let found = routes.get_key_value(model).or_else(|| routes.get_key_value(own()?));
        let (id, route) = found.ok_or_else(|| Refusal::unknown_model(model))?;
        match self.allowed_models() {
            Some(allowed) if !self.may_call(id) => Err(Refusal::model_not_allowed(model, allowed)),
            _ => Ok((id, route)),
        }
    }

    pub(crate) fn may_call(&self, id: &str) -> bool {
        self.allowed_models().is_none_or(|a| a.iter().any(|m| m == id))
    }

    fn allowed_models(&self) -> Option<&'d [String]> {
        self.key.and_then(|k| k.models.as_deref())
    }

    /// The route that answers this under its model id: everything that can be refused before anything is counted.
    pub(crate) fn may_ask(&self, asked: &Asked) -> Result<(&'d str, &'d Route), Refusal> {
        let (model, route) = self.route(&asked.model)?;
        let (answers, most) = (asked.demand.answers(), self.entry.calls.answers_per_call);
        if answers > u64::from(most) {
            return Err(Refusal::too_many_answers(answers, most));
        }
        if let Some(field) = asked.field_names().find(|f| is_guarded(f) && !route.settings.allows_field(f)) {
            return Err(Refusal::guarded_field(field));
        }
        asked.content.check(&route.settings)?;
        if route.upstreams.is_empty() { Err(Refusal::not_ready(route.reason.as_deref())) } else { Ok((model, route)) }
    }

    /// Charges the call to the limits of key and tenant: the most that the model server can make of what it is told.
    /// `default_max_tokens`: what it is told where a limit counts tokens and the client names no bound.
    pub(crate) fn reserve(
        &self,
        demand: &Demand,
        prompt: Prompt,
        context: u32,
        ledger: &Arc<Ledger>,
        default_max_tokens: u32,
    ) -> Result<Admitted, Box<OverLimit>> {
        let mut ask =
            Ask { tenant: self.tenant, tenant_limits: self.entry.calls.limits, key: self.key.map(|k| (k.id, k.limits)), tokens: 0 };
        let mut told = None;
        if let Some(tightest) = ask.tightest() {
            let prompt = match prompt {
                Prompt::Bound => demand.prompt_at_most(context),
                Prompt::Counted(tokens) => tokens,
            };
            let each = demand.max_tokens.unwrap_or_else(|| {
                // No more than the limit could ever hold: a call that may be short is not refused for our own guess.
                let room = u64::from(tightest).saturating_sub(prompt) / demand.answers().max(1);
                *told.insert(u64::from(default_max_tokens).min(room).max(1))
            });
            ask.tokens = demand.at_most(prompt, each, context);
        }
        let (reservation, rate_limits) = ledger.reserve(&ask, ledger.now_ms())?;
        Ok(Admitted { reservation, rate_limits, told })
    }
}

/// Whether a call that did not fit by the length of its prompt could fit once the prompt's tokens are counted.
pub(crate) fn worth_counting(over: &OverLimit, demand: &Demand) -> bool {
    let answers = demand.max_tokens.unwrap_or(1).saturating_mul(demand.answers());
    over.what == What::Tokens && over.rate_limits.tokens.is_some_and(|gauge| u64::from(gauge.remaining) > answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{directory::TenantEntry, ids::PersonId, key::Limits, name::Name};
    use uuid::Uuid;

    #[test]
    fn what_is_reserved_is_what_the_server_can_make_of_what_it_is_told() {
        let (ledger, tenant): (_, Name) = (Arc::new(Ledger::default()), "acme".parse().unwrap());
        let demand = Demand { prompts: 1, choices: 2, n: 2, max_tokens: Some(100), prompt_bound: 400, has_media: false, prompt_guess: 0 };
        for (limit, demand, prompt, context, reserved, told) in [
            (10_000, demand, Prompt::Bound, 4_096, 400 + 200, None),
            (10_000, demand, Prompt::Counted(50), 4_096, 50 + 200, None),
            // The context ends prompt and answers, whatever is asked for.
            (10_000, Demand { max_tokens: Some(5_000), ..demand }, Prompt::Bound, 512, 1_024, None),
            (10_000, Demand { prompts: 3, ..demand }, Prompt::Bound, 100, 100 * 6, None),
            // Of a picture only the context is known.
            (10_000, Demand { has_media: true, ..demand }, Prompt::Bound, 2_000, 2_000 + 200, None),
            // Nobody named a bound: the server is told one, and no more than fits.
            (10_000, Demand { max_tokens: None, ..demand }, Prompt::Bound, 0, 400 + 2_000, Some(1_000)),
            (1_000, Demand { max_tokens: None, ..demand }, Prompt::Bound, 0, 1_000, Some(300)),
            (500, Demand { max_tokens: None, ..demand }, Prompt::Bound, 0, 500, Some(50)),
        ] {
            let mut entry = TenantEntry::default();
            entry.calls.limits = Limits { tokens_per_minute: Some(limit), ..Limits::default() };
            let caller = Authenticated { tenant: &tenant, entry: &entry, key: None, person: PersonId::from_uuid(Uuid::from_u128(1)) };
            let admitted = caller.reserve(&demand, prompt, context, &ledger, 1_000).unwrap();
            let gauge = admitted.rate_limits.tokens.unwrap();
            assert_eq!((gauge.limit - gauge.remaining, admitted.told), (reserved, told), "{demand:?}");
        }
        let entry = TenantEntry::default();
        let caller = Authenticated { tenant: &tenant, entry: &entry, key: None, person: PersonId::from_uuid(Uuid::from_u128(1)) };
        let free = caller.reserve(&Demand { max_tokens: None, ..demand }, Prompt::Bound, 512, &ledger, 1_000).unwrap();
        assert_eq!((free.told, free.rate_limits), (None, RateLimits::default()), "without a limit nothing is told and nothing counted");
    }
}
