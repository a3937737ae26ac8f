//! A Rust file taken apart as far as the checks need it: code, comments, strings, paths, functions, test lines.
//!
//! This is a scanner, not a parser: it knows comments, literals, brackets and `use` trees. What it cannot know (macros,
//! inline modules under `super`) it leaves alone, so that a check errs on the quiet side; the compiler's own fences
//! (`no_std`, the dependency lists, clippy.toml) stand behind it.

/// A path as it is written in code: `std::fs::read`, or one leaf of a `use` tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathUse {
    /// The line, from 1.
    pub line: usize,
    /// Its segments.
    pub segments: Vec<String>,
}

impl PathUse {
    /// Whether the segments hold this sequence, for example `["std", "fs"]`.
    #[must_use]
    pub fn holds(&self, sequence: &[&str]) -> bool {
        self.segments.windows(sequence.len()).any(|w| w.iter().zip(sequence).all(|(a, b)| a == b))
    }
}

/// A string literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Literal {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What stands between the quotes, escapes as written.
    pub text: String,
}

/// A function with a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// The line of `fn`, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Lines from `fn` to the closing brace.
    pub line_count: usize,
}

/// A Rust file taken apart.
pub struct Source {
    /// Relative to the root of the repository.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// The text with comments and the contents of literals blanked; offsets and lines are those of the text.
    pub code: String,
    /// The text with everything but comments blanked.
    pub comments: String,
    /// Its string literals.
    pub strings: Vec<Literal>,
    /// Every path that the code names.
    pub paths: Vec<PathUse>,
    line_starts: Vec<usize>,
    test_lines: Vec<bool>,
    test_modules: Vec<String>,
}

impl Source {
    /// Takes `text` apart.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Source {
        let (code, comments, literals) = split(text);
        let line_starts: Vec<usize> =
            core::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let all_test = path.starts_with("fuzz/")
            || path.ends_with("/tests.rs")
            || path.split('/').any(|part| part == "tests" || part == "benches");
        let mut source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
            test_lines: vec![all_test; line_starts.len()],
            code,
            comments,
            strings: Vec::new(),
            paths: Vec::new(),
            line_starts,
            test_modules: Vec::new(),
        };
        source.strings =
            literals.into_iter().map(|(at, text)| Literal { line: source.line_of(at), text }).collect();
        source.find_tests();
        source.paths = paths(&source);
        source
    }

    /// The line of an offset, from 1.
    #[must_use]
    pub fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// How many lines it has.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// Whether the line (from 1) belongs to a test.
    #[must_use]
    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line.saturating_sub(1)).copied().unwrap_or(false)
    }

    /// Says that the whole file is a test module of another.
    pub fn mark_as_test(&mut self) {
        self.test_lines.fill(true);
    }

    /// The paths, without `.rs`, at which the test modules that this file declares (`#[cfg(test)] mod x;`) may stand.
    pub fn test_module_paths(&self) -> impl Iterator<Item = String> + '_ {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let stem = file.trim_end_matches(".rs");
        let own = match stem {
            "mod" | "lib" | "main" => folder.to_owned(),
            _ => format!("{folder}/{stem}"),
        };
        self.test_modules.iter().map(move |name| format!("{own}/{name}"))
    }

    /// Where a word stands in the code: `(line, offset)` of each whole-word occurrence.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
        whole_words(&self.code, word).map(|at| (self.line_of(at), at))
    }

    /// Lines on which the code holds `needle` exactly.
    pub fn code_lines<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(needle).map(|(at, _)| self.line_of(at))
    }

    /// Every function with a body, nested ones too.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        let mut found = Vec::new();
        for (line, at) in self.words("fn") {
            let rest = self.code[at + 2..].trim_start();
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue; // a function pointer type
            }
            if let Some(open) = body_start(bytes, at)
                && let Some(close) = matching(bytes, open)
            {
                found.push(Function { line, name, line_count: self.line_of(close) - line + 1 });
            }
        }
        found
    }

    /// Marks the items under `#[cfg(test)]` and notes the test modules that stand in files of their own.
    fn find_tests(&mut self) {
        let code = self.code.clone();
        let bytes = code.as_bytes();
        for (at, _) in code.match_indices("#[cfg(") {
            let Some(end) = matching(bytes, at + 1) else { continue };
            let condition = &code[at..end];
            if whole_words(condition, "test").next().is_none() || condition.contains("not(test") {
                continue;
            }
            let Some(stop) = item_end(bytes, end + 1) else { continue };
            let item = code[end + 1..stop].trim();
            if bytes[stop] == b';'
                && let Some(name) = item.strip_prefix("mod ")
            {
                self.test_modules.push(name.trim().to_owned());
            }
            let (first, last) = (self.line_of(at), self.line_of(stop));
            self.test_lines[first - 1..last].fill(true);
        }
    }
}

/// Offsets of whole-word occurrences.
pub fn whole_words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !text[..*at].chars().next_back().is_some_and(part_of_word)
            && !text[*at + word.len()..].chars().next().is_some_and(part_of_word)
    })
}

/// The text twice, once with only its code and once with only its comments, and the string literals with offsets.
fn split(text: &str) -> (String, String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let blank = |from: usize, to: usize, out: &mut Vec<u8>| {
        out.extend(bytes[from..to].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
    };
    let (mut code, mut comments, mut literals) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let token = token_at(text, at);
        let end = token.end();
        match token {
            Token::Comment(_) => {
                blank(at, end, &mut code);
                comments.extend_from_slice(&bytes[at..end]);
            }
            Token::Text { inner: (from, to), .. } => {
                code.extend_from_slice(&bytes[at..from]);
                blank(from, to, &mut code);
                code.extend_from_slice(&bytes[to..end]);
                blank(at, end, &mut comments);
                literals.push((at, text[from..to].to_owned()));
            }
            Token::Char(_) => {
                blank(at, end, &mut code);
                blank(at, end, &mut comments);
            }
            Token::Code(_) => {
                code.extend_from_slice(&bytes[at..end]);
                blank(at, end, &mut comments);
            }
        }
        at = end;
    }
    let utf8 = |v: Vec<u8>| String::from_utf8_lossy(&v).into_owned();
    (utf8(code), utf8(comments), literals)
}

enum Token {
    Comment(usize),
    Text { inner: (usize, usize), end: usize },
    Char(usize),
    Code(usize),
}

impl Token {
    const fn end(&self) -> usize {
        match self {
            Token::Comment(end) | Token::Char(end) | Token::Code(end) => *end,
            Token::Text { end, .. } => *end,
        }
    }
}

fn token_at(text: &str, at: usize) -> Token {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return Token::Comment(text[at..].find('\n').map_or(bytes.len(), |n| at + n));
    }
    if rest.starts_with(b"/*") {
        return Token::Comment(block_comment_end(bytes, at));
    }
    let in_word = at > 0 && is_word(bytes[at - 1]);
    if !in_word && let Some((hashes, open)) = raw_string_open(bytes, at) {
        let close = format!("\"{}", "#".repeat(hashes));
        let to = text[open..].find(&close).map_or(bytes.len(), |n| open + n);
        return Token::Text { inner: (open, to), end: (to + close.len()).min(bytes.len()) };
    }
    match rest[0] {
        b'"' => {
            let mut to = at + 1;
            while to < bytes.len() && bytes[to] != b'"' {
                to += if bytes[to] == b'\\' { 2 } else { 1 };
            }
            let to = to.min(bytes.len());
            Token::Text { inner: (at + 1, to), end: (to + 1).min(bytes.len()) }
        }
        b'\'' => char_end(text, at).map_or(Token::Code(at + 1), Token::Char),
        _ => Token::Code(at + text[at..].chars().next().map_or(1, char::len_utf8)),
    }
}

const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    bytes.len()
}

/// Of `r"`, `r#"`, `br#"`, `cr"` at `at`: the number of hashes and the offset after the quote.
fn raw_string_open(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut i = at;
    if matches!(bytes.get(i), Some(b'b' | b'c')) {
        i += 1;
    }
    if bytes.get(i) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[i + 1..].iter().take_while(|b| **b == b'#').count();
    let quote = i + 1 + hashes;
    (bytes.get(quote) == Some(&b'"')).then_some((hashes, quote + 1))
}

/// The end of a character literal at `at`; `None` if the quote begins a lifetime.
fn char_end(text: &str, at: usize) -> Option<usize> {
    let mut chars = text[at + 1..].char_indices();
    let (_, first) = chars.next()?;
    if first == '\\' {
        let close = text[at + 3..].find('\'')?;
        return Some(at + 3 + close + 1);
    }
    let (next, second) = chars.next()?;
    (second == '\'').then_some(at + 1 + next + 1)
}

/// The offset of the bracket that closes the one at `open`.
fn matching(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, b) in bytes.iter().enumerate().skip(open) {
        match b {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// The first `{` after `from` that is not inside parentheses or brackets; `None` if a `;` comes first.
fn body_start(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, b) in bytes.iter().enumerate().skip(from) {
        match b {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(i),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the item that begins at or after `from` ends: its `;` or its closing brace.
fn item_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    while i < bytes.len() {
        match bytes[i] {
            b';' => return Some(i),
            b'{' => return matching(bytes, i),
            b'(' | b'[' => i = matching(bytes, i)?,
            _ => {}
        }
        i += 1;
    }
    None
}

/// Every path of the code: chains of `ident::ident`, and the leaves of `use` trees.
fn paths(source: &Source) -> Vec<PathUse> {
    let tokens = tokens(&source.code);
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let (at, token) = tokens[i];
        if token == "use" {
            i = use_tree(&tokens, i + 1, &mut Vec::new(), &mut |at, segments| {
                found.push(PathUse { line: source.line_of(at), segments });
            });
        } else if is_identifier(token) {
            let mut segments = vec![token.to_owned()];
            while tokens.get(i + 1).is_some_and(|t| t.1 == "::")
                && tokens.get(i + 2).is_some_and(|t| is_identifier(t.1))
            {
                segments.push(tokens[i + 2].1.to_owned());
                i += 2;
            }
            found.push(PathUse { line: source.line_of(at), segments });
            i += 1;
        } else {
            i += 1;
        }
    }
    found
}

fn is_identifier(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::`, and single other characters, with offsets.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = if is_word(bytes[at]) {
            at + bytes[at..].iter().take_while(|b| is_word(**b)).count()
        } else if code[at..].starts_with("::") {
            at + 2
        } else {
            at + code[at..].chars().next().map_or(1, char::len_utf8)
        };
        if !bytes[at].is_ascii_whitespace() {
            out.push((at, &code[at..end]));
        }
        at = end;
    }
    out
}

/// Reads one `use` tree from token `i`; calls `leaf` for each path. Returns the token after it.
fn use_tree(
    tokens: &[(usize, &str)],
    mut i: usize,
    prefix: &mut Vec<String>,
    leaf: &mut impl FnMut(usize, Vec<String>),
) -> usize {
    let depth = prefix.len();
    let start = tokens.get(i).map_or(0, |t| t.0);
    let mut grouped = false;
    while let Some((_, token)) = tokens.get(i) {
        match *token {
            "::" => i += 1,
            "{" => {
                grouped = true;
                i += 1;
                while tokens.get(i).is_some_and(|t| t.1 != "}" && t.1 != ";") {
                    let next = use_tree(tokens, i, prefix, leaf);
                    i = if next == i { i + 1 } else { next }; // over a comma, or over what is no `use` tree
                }
                i += usize::from(tokens.get(i).is_some_and(|t| t.1 == "}"));
            }
            "as" => i += 2,
            "*" => {
                prefix.push("*".to_owned());
                i += 1;
            }
            word if is_identifier(word) => {
                prefix.push(word.to_owned());
                i += 1;
            }
            _ => break,
        }
    }
    if !grouped && prefix.len() > depth {
        leaf(start, prefix.clone());
    }
    prefix.truncate(depth);
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(text: &str) -> Vec<String> {
        Source::new("a.rs", text).paths.iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn code_comments_and_strings_come_apart() {
        let text = "let a = \"x // y\"; // c \"d\"\nlet b = 'c'; /* e /* f */ */ let c: &'static str = r#\"g\"h\"#;\n";
        let s = Source::new("a.rs", text);
        assert_eq!(s.code.len(), text.len());
        assert!(!s.code.contains('y') && !s.code.contains(" c \"") && !s.code.contains('g'));
        assert!(s.code.contains("&'static str"));
        assert!(s.comments.contains("// c \"d\"") && s.comments.contains("/* e /* f */ */"));
        let strings: Vec<_> = s.strings.iter().map(|l| (l.line, l.text.as_str())).collect();
        assert_eq!(strings, [(1, "x // y"), (2, "g\"h")]);
    }

    #[test]
    fn use_trees_are_flattened() {
        let found = leaves("use std::{fs, net::{self, TcpStream}, io as x};\nfn f() { a::b::c(d); }");
        let expect =
            ["std::fs", "std::net::self", "std::net::TcpStream", "std::io", "fn", "f", "a::b::c", "d"];
        assert_eq!(found, expect);
    }

    #[test]
    fn tests_are_told_apart() {
        let s = Source::new(
            "a/b.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod x {\n  y\n}\nfn b() {}\n",
        );
        let marked: Vec<_> = (1..=8).filter(|l| s.is_test(*l)).collect();
        assert_eq!(marked, [2, 3, 4, 5, 6, 7]);
        assert_eq!(s.test_module_paths().collect::<Vec<_>>(), ["a/b/tests"]);
    }

    #[test]
    fn functions_have_lengths() {
        let s = Source::new("a.rs", "fn a(x: [u8; 3]) -> u8 {\n  1\n}\ntrait T { fn b(&self); fn c() {} }\n");
        let found: Vec<_> = s.functions().into_iter().map(|f| (f.name, f.line, f.line_count)).collect();
        assert_eq!(found, [("a".to_owned(), 1, 3), ("c".to_owned(), 4, 1)]);
    }
}
