//! `keyway completions`: what a shell needs to complete verbs, flags and their values.
//!
//! The script is made from the command line's own description, so it knows every verb and flag of this very binary.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  source <(keyway completions bash)                                      in this shell only
  keyway completions bash > ~/.local/share/bash-completion/completions/keyway
  keyway completions zsh > ~/.zfunc/_keyway                              with ~/.zfunc in fpath
  keyway completions fish > ~/.config/fish/completions/keyway.fish
";

/// Print a script that teaches a shell to complete keyway's verbs and flags.
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// `keyway completions`.
pub(crate) fn run(args: &CompletionsArgs, output: &Output) -> Result<Exit, Failure> {
    output.bytes(&script(args.shell))?;
    Ok(Exit::Ok)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyway", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_verb() {
        let mut command = Cli::command();
        command.build();
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("scripts are text");
            for verb in command.get_subcommands().map(clap::Command::get_name) {
                assert!(script.contains(verb), "{shell} does not know {verb}");
            }
        }
    }
}
