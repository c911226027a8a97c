//! How many calls are under way at once: of a tenant, of one of its members, of one key. What holds a model server is not how
//! often one asks, but how much one asks at the same time.

use crate::{authenticate::Authenticated, errors::Refusal};
use domain::{
    ids::{KeyId, PersonId},
    name::Name,
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Default)]
struct OfTenant {
    all: u32,
    members: HashMap<PersonId, u32>,
    keys: HashMap<KeyId, u32>,
}

#[derive(Default)]
pub(crate) struct UnderWay(Mutex<HashMap<Name, OfTenant>>);

/// One call's place; free again when dropped.
pub(crate) struct InFlight {
    of: Arc<UnderWay>,
    tenant: Name,
    person: PersonId,
    key: Option<KeyId>,
}

impl UnderWay {
    /// A place for one more call, unless tenant, member or key have as many under way as they may.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Authenticated) -> Result<InFlight, Refusal> {
        let rules = &caller.entry.calls;
        let key = caller.key.map(|k| k.id);
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !tenants.contains_key(caller.tenant) {
            tenants.insert(caller.tenant.clone(), OfTenant::default());
        }
        if let Some(now) = tenants.get_mut(caller.tenant) {
            let of_member = now.members.get(&caller.person).copied().unwrap_or(0);
            let of_key = key.and_then(|k| now.keys.get(&k).copied()).unwrap_or(0);
            let own = caller.key.and_then(|k| k.limits.concurrent_calls).unwrap_or(u32::MAX);
            for (whose, count, most) in [
                ("this API key", of_key, rules.concurrent_calls_per_key.min(own)),
                ("this member", of_member, rules.concurrent_calls_per_member),
                ("this tenant", now.all, rules.concurrent_calls),
            ] {
                if count >= most {
                    return Err(Refusal::too_many_at_once(whose, most));
                }
            }
            now.all += 1;
            now.members.insert(caller.person, of_member + 1);
            if let Some(key) = key {
                now.keys.insert(key, of_key + 1);
            }
        }
        Ok(InFlight { of: self.clone(), tenant: caller.tenant.clone(), person: caller.person, key })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut tenants = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = tenants.get_mut(&self.tenant) else { return };
        now.all = now.all.saturating_sub(1);
        one_less(&mut now.members, self.person);
        if let Some(key) = self.key {
            one_less(&mut now.keys, key);
        }
        if now.all == 0 {
            tenants.remove(&self.tenant);
        }
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, of: K) {
    match counts.get_mut(&of) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(&of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::directory::TenantEntry;
    use uuid::Uuid;

    #[test]
    fn places_are_given_back_and_nothing_is_left_of_a_tenant_that_rests() {
        let under_way = Arc::new(UnderWay::default());
        let tenant: Name = "acme".parse().unwrap();
        let mut entry = TenantEntry::default();
        (entry.calls.concurrent_calls, entry.calls.concurrent_calls_per_member) = (3, 2);
        let caller =
            |person| Authenticated { tenant: &tenant, entry: &entry, key: None, person: PersonId::from_uuid(Uuid::from_u128(person)) };
        let first = under_way.enter(&caller(1)).ok().unwrap();
        let second = under_way.enter(&caller(1)).ok().unwrap();
        assert!(under_way.enter(&caller(1)).err().unwrap().message.contains("2 calls of this member"));
        let third = under_way.enter(&caller(2)).ok().unwrap();
        assert!(under_way.enter(&caller(3)).err().unwrap().message.contains("3 calls of this tenant"));
        drop(first);
        assert!(under_way.enter(&caller(1)).is_ok(), "given back at once");
        drop((second, third));
        assert!(under_way.0.lock().unwrap().is_empty());
    }
}
