//! What a stranger must meet: word for word what anybody meets who asks for a thing that does not exist.

use domain::problem::{Problem, ProblemKind};
use std::fmt::Debug;

/// `reached`: what the rightful person got by the same call; only after that has gone well does "not found" tell anything.
/// `there` is what the stranger asked for, `absent` what does not exist, as both are written in a sentence.
#[track_caller]
pub fn meets_nothing<T: Debug, U: Debug, V: Debug>(
    what: &str,
    reached: Result<T, Problem>,
    met: Result<U, Problem>,
    nothing: Result<V, Problem>,
    (there, absent): (&str, &str),
) {
    if let Err(problem) = reached {
        panic!("{what}: the rightful person must succeed first: {problem:?}");
    }
    let met = met.map(|seen| panic!("{what}: a stranger got {seen:?}")).unwrap_err();
    let nothing = nothing.map(|seen| panic!("{what}: what does not exist gave {seen:?}")).unwrap_err();
    assert_eq!(met.kind, ProblemKind::NotFound, "{what}: {met:?}");
    let as_if_absent = |text: &str| text.replace(there, absent);
    assert_eq!(
        (met.kind, as_if_absent(&met.sentence), as_if_absent(&met.next_step), met.fields.len()),
        (nothing.kind, nothing.sentence.clone(), nothing.next_step.clone(), nothing.fields.len()),
        "{what}: a stranger must not learn that it exists"
    );
}
