//! What is asked for: the options that make a request of a URL.

use std::path::PathBuf;

use clap::Args;
use shared::http::{
    consumer::{Method, Order},
    fields::Edit,
    form::{self, Data, Part},
    upload::Upload,
};

#[derive(Args, Debug)]
#[command(next_help_heading = "Request")]
pub(crate) struct Asking {
    /// Ask for the header only (HEAD)
    #[arg(short = 'I', long = "head", conflicts_with_all = ["target", "method", "body"])]
    head_only: bool,
    /// Use this method; otherwise it is GET, with -T PUT, with other data POST
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// Send this field, 'NAME: VALUE'; 'NAME;' is one without a value, 'NAME:' leaves out the program's own
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    fields: Vec<Edit>,
    /// Send data of a form, NAME=VALUE&NAME=VALUE; @FILE is a file without its line ends, - standard input
    #[arg(short = 'd', long, group = "body", value_name = "DATA", value_parser = data)]
    data: Vec<Data>,
    /// Send this data, or this @FILE, as it is
    #[arg(long, group = "body", value_name = "DATA", value_parser = data)]
    data_binary: Option<Data>,
    /// Send a form in parts: NAME=VALUE, NAME=@FILE, NAME=@FILE;type=TYPE;filename=NAME
    #[arg(short = 'F', long = "form", group = "body", value_name = "PART")]
    form: Vec<Part>,
    /// Send this file
    #[arg(short = 'T', long, group = "body", value_name = "FILE")]
    upload_file: Option<PathBuf>,
}

/// `From` would do, but for the name of the type in the help.
#[allow(clippy::unnecessary_wraps, reason = "a parser of values")]
fn data(text: &str) -> Result<Data, String> {
    Ok(text.to_owned().into())
}

impl Asking {
    /// Makes the request of an order for a URL. The body is opened once, for all of them.
    pub(crate) fn body(&self) -> Result<Option<Upload>, String> {
        if let Some(path) = &self.upload_file {
            let mut upload = Upload::default();
            upload.push_file(path)?;
            return Ok(Some(upload));
        }
        if let Some(data) = &self.data_binary {
            return form::binary(data).map(Some);
        }
        Ok(match (self.data.as_slice(), self.form.as_slice()) {
            ([], []) => None,
            ([], parts) => Some(form::multipart(parts)?),
            (data, _) => Some(form::urlencoded(data)?),
        })
    }

    pub(crate) fn ask(&self, order: &mut Order, body: Option<&Upload>) {
        order.method = match &self.method {
            Some(method) => method.clone(),
            None if self.head_only => Method::HEAD,
            None if self.upload_file.is_some() => Method::PUT,
            None if body.is_some() => Method::POST,
            None => Method::GET,
        };
        order.fields = self.fields.iter().cloned().collect();
        order.body = body.cloned();
    }
}
