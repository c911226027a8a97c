//! How the answer of a server function travels: JSON, read as text.
//!
//! server_fn's own JSON is read from bytes, while what comes with the page is read from text. With both, the browser's file held
//! the reader of every type twice: a sixth of it.

use leptos::server_fn::{
    Bytes, ContentType, Decodes, Encodes, Format, FormatType,
    codec::Post,
    serde::{Serialize, de::DeserializeOwned},
};
use serde::de::Error;

/// The codec, for errors.
pub struct TextJson;

/// `output` of every server function.
pub type Wire = Post<TextJson>;

impl ContentType for TextJson {
    const CONTENT_TYPE: &'static str = "application/json";
}

impl FormatType for TextJson {
    const FORMAT_TYPE: Format = Format::Text;
}

impl<T: Serialize> Encodes<T> for TextJson {
    type Error = serde_json::Error;

    fn encode(value: &T) -> Result<Bytes, Self::Error> {
        serde_json::to_vec(value).map(Bytes::from)
    }
}

impl<T: DeserializeOwned> Decodes<T> for TextJson {
    type Error = serde_json::Error;

    fn decode(bytes: Bytes) -> Result<T, Self::Error> {
        serde_json::from_str(std::str::from_utf8(&bytes).map_err(Error::custom)?)
    }
}
