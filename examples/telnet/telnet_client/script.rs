//! `--expect` and `--send`, in the order in which they were given.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use shared::telnet::Step;

#[derive(Clone, Debug)]
pub(crate) struct Steps(pub(crate) Vec<Step>);

const EXPECT: &str = "expect";
const SEND: &str = "send";

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut steps = Vec::new();
        for name in [EXPECT, SEND] {
            let places = matches.indices_of(name).into_iter().flatten();
            let texts = matches.get_many::<String>(name).into_iter().flatten();
            steps.extend(places.zip(texts).map(|(place, text)| {
                let step = match name {
                    EXPECT => Step::Expect(text.clone().into_bytes()),
                    _ => Step::Send(format!("{text}\n").into_bytes()),
                };
                (place, step)
            }));
        }
        steps.sort_by_key(|&(place, _)| place);
        Ok(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Steps {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name("TEXT")
                .action(ArgAction::Append)
                .allow_hyphen_values(true)
                .help(help)
        };
        command
            .arg(option(
                EXPECT,
                "Wait until the server has sent this text; may be given several times, as --send, and the order counts",
            ))
            .arg(option(SEND, "Send this line"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_both_options_counts() {
        let command = Steps::augment_args(Command::new("x"));
        let words = "x --send a --expect b --expect c --send d --send -e --expect f";
        let matches = command.get_matches_from(words.split(' '));
        let Steps(steps) = Steps::from_arg_matches(&matches).expect("steps");
        let (send, expect) = (
            |text: &str| Step::Send(format!("{text}\n").into()),
            |text: &str| Step::Expect(text.into()),
        );
        let expected = [
            send("a"),
            expect("b"),
            expect("c"),
            send("d"),
            send("-e"),
            expect("f"),
        ];
        assert_eq!(steps, expected);
    }
}
