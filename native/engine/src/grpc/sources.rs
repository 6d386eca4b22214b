//! `.proto` files become a FileDescriptorSet: in memory, from texts that the control plane has read.
//!
//! `google/protobuf/*.proto` are known, and so are the names and numbers of `buf/validate/validate.proto`; one that is
//! given counts instead.

use miette::Diagnostic;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde::{Deserialize, Serialize};

const VALIDATE: &str = "buf/validate/validate.proto";

/// What is to be compiled.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// Names of those whose services count; all of them among `texts`.
    pub files: Vec<String>,
    /// Name as in `import`, and text.
    pub texts: Vec<(String, String)>,
}

/// Something wrong in a source, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceProblem {
    /// Name as in `import`; empty: it is nowhere in particular.
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub column: usize,
    pub message: String,
}

struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((name, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Compiles sources to an encoded FileDescriptorSet.
///
/// # Errors
/// The first problem of each file.
pub fn compile(sources: Sources) -> Result<Vec<u8>, Vec<SourceProblem>> {
    let mut resolver = ChainFileResolver::new();
    let known = Texts(vec![(VALIDATE.to_owned(), include_str!("validate.proto").to_owned())]);
    resolver.add(Texts(sources.texts));
    resolver.add(GoogleFileResolver::new());
    resolver.add(known);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(false);
    let mut problems: Vec<SourceProblem> = Vec::new();
    for file in &sources.files {
        if let Err(error) = compiler.open_file(file) {
            let problem = problem(&error, file);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    if problems.is_empty() { Ok(compiler.encode_file_descriptor_set()) } else { Err(problems) }
}

fn problem(error: &protox::Error, file: &str) -> SourceProblem {
    let place = error
        .labels()
        .and_then(|mut labels| labels.next())
        .zip(error.source_code())
        .and_then(|(label, source)| source.read_span(label.inner(), 0, 0).ok());
    SourceProblem {
        file: error.file().unwrap_or(file).to_owned(),
        line: place.as_ref().map_or(0, |place| place.line() + 1),
        column: place.as_ref().map_or(0, |place| place.column() + 1),
        message: error.to_string(),
    }
}
