//! Words of a command that a person can paste into a shell.

use std::borrow::Cow;

/// A word as a POSIX shell takes it: quoted where it must be.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    // Between single quotes everything stands for itself but a single quote.
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_gives_the_word_back() {
        for text in [
            "colors",
            "",
            "two words",
            "it's",
            "a\"b",
            "$HOME",
            "`id`",
            "a;b|c&d",
            "*",
            "~",
            "#x",
            "back\\slash",
            "-x",
            "ö",
            "a!b",
            "k=v",
            "(x)",
        ] {
            let script = format!("printf %s {}", word(text));
            let ran = Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&ran.stdout), text, "{script}");
        }
        assert_eq!((word("colors"), word("")), ("colors".into(), "''".into()));
    }
}
