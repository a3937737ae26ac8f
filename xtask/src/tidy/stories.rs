//! Tests are stories that anybody can repeat: none is skipped, none waits for a clock, none owns a port.

use super::{Check, Example, Report, Tree};

pub(super) const CHECK: Check = Check {
    name: "stories",
    rule: "no #[ignore]; no sleeps in core and sim; no fixed ports in tests",
    run,
    breaks: &[
        Example {
            what: "a skipped test",
            files: &[("crates/net/tests/a.rs", "#[test]\n#[ignore]\nfn f() {}\n")],
        },
        Example {
            what: "a skipped test with a reason",
            files: &[("crates/net/tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n")],
        },
        Example {
            what: "a sleep in the simulator's tests",
            files: &[("crates/sim/tests/a.rs", "fn f() { std::thread::sleep(d); }\n")],
        },
        Example {
            what: "a fixed port",
            files: &[("crates/gateway/tests/a.rs", "fn f() { bind(\"127.0.0.1:5851\"); }\n")],
        },
        Example {
            what: "a fixed port in a unit test",
            files: &[(
                "crates/net/src/a.rs",
                "#[cfg(test)]\nmod tests { fn f() { bind(\"[::1]:9000\"); } }\n",
            )],
        },
    ],
    keeps: &[Example {
        what: "free ports, ports that only stand in texts, sleeps at the edges",
        files: &[
            ("crates/gateway/tests/a.rs", "fn f() { bind(\"127.0.0.1:0\"); connect(\"127.0.0.1:1\"); }\n"),
            ("crates/gateway/tests/b.rs", "fn f() { allowed(\"127.0.0.1:5851\"); }\n"),
            ("crates/keyway/src/a.rs", "const DEFAULT: &str = \"127.0.0.1:5851\";\n"),
            ("crates/net/tests/b.rs", "async fn f() { tokio::time::sleep(d).await; }\n"),
            ("crates/core/src/a.rs", "#[cfg(test)]\nmod tests { fn f() { parse(\"127.0.0.1:5850\"); } }\n"),
        ],
    }],
};

/// Crates whose tests open sockets.
const WITH_SOCKETS: [&str; 4] = ["crates/net/", "crates/gateway/", "crates/client/", "crates/keyway/"];
/// What stands on a line that opens a socket; elsewhere an address is only a text.
const OPENS: [&str; 5] = ["bind", "connect", "listen", "Listener", "Socket"];
const HOSTS: [&str; 4] = ["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:"];
/// 0 asks for a free port. Those below 10 are never bound; a test may use them as "nobody listens here".
const PORT_MIN_FIXED: u32 = 10;

fn run(tree: &Tree, report: &mut Report) {
    for source in tree.sources() {
        for line in source.code_lines("#[ignore") {
            report.error(
                &source.path,
                line,
                "a skipped test protects nobody: make it fast, move it to xtask, or remove it",
            );
        }
        if ["crates/core/", "crates/sim/"].iter().any(|f| source.path.starts_with(f)) {
            for (line, at) in source.words("sleep") {
                if source.code[at + "sleep".len()..].starts_with('(') {
                    report.error(
                        &source.path,
                        line,
                        "time is virtual here: advance `Now` instead of sleeping",
                    );
                }
            }
        }
        if WITH_SOCKETS.iter().any(|f| source.path.starts_with(f)) {
            for literal in source.strings.iter().filter(|s| source.is_test(s.line)) {
                let line = source.code.lines().nth(literal.line - 1).unwrap_or_default();
                let opens = OPENS.iter().any(|word| line.contains(word));
                if let Some(port) = fixed_port(&literal.text).filter(|_| opens) {
                    report.error(
                        &source.path,
                        literal.line,
                        format!("port {port} may be taken: bind port 0 and ask which one it became"),
                    );
                }
            }
        }
    }
}

fn fixed_port(text: &str) -> Option<u32> {
    HOSTS.iter().flat_map(|host| text.match_indices(host).map(|(at, _)| at + host.len())).find_map(|at| {
        let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|port| *port >= PORT_MIN_FIXED)
    })
}
