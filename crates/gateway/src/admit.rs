//! What the caller may have: a tenant that is not suspended, a model of its own, within the limits.

use crate::{
    authenticate::Caller,
    errors::Refusal,
    limits::{Ask, Ledger, Reservation, Standing},
    wire::Asked,
};
use domain::directory::Route;
use std::sync::Arc;

/// A call that goes ahead.
pub(crate) struct Admitted<'d> {
    pub upstream: &'d str,
    pub route: &'d Route,
    pub reservation: Option<Reservation>,
    pub standing: Standing,
}

impl<'d> Caller<'d> {
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

    /// Everything that can be refused before a model server hears of the call; limits last, so that only a call that would
    /// go ahead is counted.
    pub(crate) fn admit(&self, asked: &Asked, ledger: &Arc<Ledger>, default_max_tokens: u32) -> Result<Admitted<'d>, Refusal> {
        let (_, route) = self.route(&asked.model)?;
        let Some(upstream) = &route.upstream else { return Err(Refusal::not_ready(route.reason.as_deref())) };
        let ask = Ask {
            tenant: self.tenant,
            tenant_limits: self.entry.limits,
            key: self.key.map(|k| (k.id, k.limits)),
            prompt_tokens: u64::from(asked.prompt_tokens),
            max_tokens: asked.max_tokens,
            default_max_tokens: u64::from(default_max_tokens) * asked.choices,
        };
        let (reservation, standing) = ledger.reserve(&ask, ledger.now_ms()).map_err(|over| Refusal::over_limit(*over))?;
        Ok(Admitted { upstream, route, reservation, standing })
    }
}
