//! The word of each variant of an enum: what the database, addresses and metrics hold. One table, made by `strum`.

/// `word()`, of an enum that derives `strum::IntoStaticStr` with `const_into_str`.
macro_rules! word {
    ($kind:ident) => {
        impl $kind {
            /// Its word in the database, in addresses and in JSON.
            pub const fn word(self) -> &'static str {
                self.into_str()
            }
        }
    };
}

/// And `from_word()`, of one that derives `strum::EnumString` too.
macro_rules! worded {
    ($kind:ident) => {
        word!($kind);
        impl $kind {
            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::{audit::ActorKind, dataset::Format, endpoint::EndpointState, event::Topic, run::RunState};
    use serde::Serialize;

    fn same<T: Serialize + Copy>(all: &[T], word: impl Fn(T) -> &'static str) {
        for one in all {
            assert_eq!(serde_json::to_value(one).unwrap(), word(*one));
        }
    }

    #[test]
    fn the_word_is_the_one_in_json() {
        same(&Format::ALL, Format::word);
        same(&EndpointState::ALL, EndpointState::word);
        same(&RunState::ALL, RunState::word);
        same(&Topic::ALL, Topic::word);
    }

    #[test]
    fn a_word_leads_back_to_its_variant_and_another_to_none() {
        assert_eq!(Format::from_word("openai_messages"), Some(Format::OpenaiMessages));
        assert_eq!(ActorKind::from_word(ActorKind::System.word()), Some(ActorKind::System));
        assert_eq!((RunState::from_word("Queued"), RunState::from_word("")), (None, None));
    }
}
