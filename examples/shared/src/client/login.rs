//! Name and password, from where other users of the machine cannot see them.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Args;

/// The environment variable that may have the password.
const VARIABLE: &str = "ASYNCHAT_PASSWORD";
/// Bytes of a password.
const MAX_PASSWORD: u64 = 1024;

/// `--user` and `--password-file`. There is no option for the password itself: every user can read a command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Login {
    /// Log in with this name; the password is the first line of --password-file, or in the environment variable
    /// ASYNCHAT_PASSWORD, or asked for on the terminal
    #[arg(short, long, value_name = "NAME")]
    pub user: Option<String>,
    /// File whose first line is the password; - is standard input
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Login {
    /// The name and the password. `None` without `--user`.
    ///
    /// # Errors
    /// There is no password, or it has a line break or a NUL in it, or is longer than 1,024 bytes.
    pub fn credentials(&self) -> Result<Option<(String, String)>, String> {
        match &self.user {
            None => Ok(None),
            Some(user) => password_of(user, self.password_file.as_deref(), VARIABLE)
                .map(|password| Some((user.clone(), password))),
        }
    }
}

/// The password of a user: from the file, or the environment variable, or the terminal.
///
/// # Errors
/// Those of [`Login::credentials`].
pub fn password_of(user: &str, file: Option<&Path>, variable: &str) -> Result<String, String> {
    if user.contains(['\r', '\n', '\0']) {
        return Err("the name of a user is one line".into());
    }
    let password = match file {
        Some(path) if path.as_os_str() == "-" => first_line(io::stdin().lock()),
        Some(path) => File::open(path).and_then(|file| first_line(BufReader::new(file))),
        None => match env::var(variable) {
            Ok(password) => Ok(password),
            Err(env::VarError::NotPresent) => return ask(user, variable),
            Err(error) => return Err(format!("{variable}: {error}")),
        },
    };
    let password = password.map_err(|error| format!("the password: {error}"))?;
    if password.contains(['\r', '\n', '\0']) {
        return Err("the password: it is more than one line".into());
    }
    Ok(password)
}

fn first_line(from: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX_PASSWORD + 1).read_line(&mut line)?;
    if line.len() as u64 > MAX_PASSWORD {
        return Err(io::Error::other(format!(
            "longer than {MAX_PASSWORD} bytes"
        )));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(user: &str, variable: &str) -> Result<String, String> {
    if !io::stdin().is_terminal() {
        return Err(format!(
            "no password for {user}: give it in a file, or in {variable} of the environment"
        ));
    }
    rpassword::prompt_password(format!("Password of {user}: ")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        for (text, expected) in [
            ("secret\nmore", Some("secret")),
            ("secret\r\n", Some("secret")),
            (" a b ", Some(" a b ")),
            ("", Some("")),
            (&"x".repeat(1024), Some(&*"x".repeat(1024))),
            (&"x".repeat(1025), None),
        ] {
            assert_eq!(first_line(text.as_bytes()).ok().as_deref(), expected);
        }
    }
}
