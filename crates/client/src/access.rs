//! An access token: what a gateway that is not open to everybody asks for.

use std::fmt;

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::failure::ClientError;

/// Longest token.
const TOKEN_BYTES_MAX: usize = 256;

/// An access token, which an operator of gateways makes (`keyway token create`). It is shown to gateways and to nobody else: not in
/// errors, not by `Debug`, and it is wiped when it is dropped.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// A token as it was given, white space around it aside.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when this cannot be one.
    pub fn new(text: &str) -> Result<AccessToken, ClientError> {
        let text = text.trim();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(good) {
            return Ok(AccessToken(Zeroizing::new(text.to_owned())));
        }
        Err(ClientError::Usage("this is no access token: they look like kwt_NAME_ and 64 hex digits".into()))
    }

    /// As it stands in `Authorization`.
    pub(crate) fn header(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        // Letters and digits alone cannot fail to be a header.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = AccessToken::new(" kwt_me_00ff\n").expect("a token");
        assert_eq!(token.header(), "Bearer kwt_me_00ff");
        assert!(!format!("{token:?} {:?}", token.header()).contains("00ff"));
        for text in ["", " ", "a b", "a\nb", "ä", &"a".repeat(257)] {
            let error = AccessToken::new(text).expect_err("no token");
            assert!(text.len() < 4 || !error.to_string().contains(text));
        }
    }
}
