//! What the control plane is told of descriptors before a policy is made of them: their methods, what is wrong, and what
//! of them is not checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{SourceProblem, Sources, compile, read};

/// What is asked about: one of the two.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    pub sources: Option<Sources>,
    /// A FileDescriptorSet in base64.
    pub descriptors: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Outline {
    /// The FileDescriptorSet in base64; with problems, it is missing.
    pub descriptors: Option<String>,
    /// `/package.Service/Method`, in the order of their paths.
    pub methods: Vec<Method>,
    pub problems: Vec<SourceProblem>,
    /// What is written and not checked, by its element.
    pub unchecked: Vec<Unchecked>,
}

#[derive(Debug, Serialize)]
pub struct Method {
    pub path: String,
    pub client_streams: bool,
    pub server_streams: bool,
}

#[derive(Debug, Serialize)]
pub struct Unchecked {
    /// `package.Message.field`
    pub element: String,
    pub message: String,
}

#[must_use]
pub fn outline(asked: Asked) -> Outline {
    let set = match (asked.sources, asked.descriptors) {
        (Some(sources), _) => match compile(sources) {
            Ok(set) => set,
            Err(problems) => return Outline { problems, ..Outline::default() },
        },
        (None, descriptors) => match STANDARD.decode(descriptors.unwrap_or_default()) {
            Ok(set) => set,
            Err(error) => return failed(format!("this is not base64: {error}")),
        },
    };
    let described = match read(&set) {
        Ok(described) => described,
        Err(error) => return failed(format!("this is no FileDescriptorSet with all that it imports: {error}")),
    };
    let problems = described.faults.into_iter().map(|fault| problem(format!("{}: {}", fault.element, fault.message)));
    let problems: Vec<SourceProblem> = problems.collect();
    let methods = described.model.methods.iter().map(|method| Method {
        path: method.path.to_string(),
        client_streams: method.client_streams,
        server_streams: method.server_streams,
    });
    Outline {
        descriptors: problems.is_empty().then(|| STANDARD.encode(&set)),
        methods: methods.collect(),
        problems,
        unchecked: described
            .unchecked
            .into_iter()
            .map(|remarked| Unchecked { element: remarked.element, message: remarked.message })
            .collect(),
    }
}

fn failed(message: String) -> Outline {
    Outline { problems: vec![problem(message)], ..Outline::default() }
}

fn problem(message: String) -> SourceProblem {
    SourceProblem { file: String::new(), line: 0, column: 0, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Outline {
        let texts = vec![("shop/a.proto".to_owned(), text.to_owned())];
        outline(Asked { sources: Some(Sources { files: vec!["shop/a.proto".to_owned()], texts }), descriptors: None })
    }

    #[test]
    fn methods_are_told_and_what_is_not_checked() {
        let told = of(
            r#"syntax = "proto3"; package shop; import "buf/validate/validate.proto"; import "google/protobuf/timestamp.proto";
            message A {
              string id = 1 [(buf.validate.field).cel = { id: "x", expression: "true" }, (buf.validate.field).string.uri = true];
              google.protobuf.Timestamp at = 2 [(buf.validate.field).timestamp.lt_now = true];
            }
            service S { rpc B(stream A) returns (A); rpc A(A) returns (stream A); }"#,
        );
        assert_eq!(told.problems, []);
        let paths: Vec<&str> = told.methods.iter().map(|method| method.path.as_str()).collect();
        assert_eq!(paths, ["/shop.S/A", "/shop.S/B"]);
        assert!(told.methods[1].client_streams && told.methods[0].server_streams);
        let unchecked: Vec<String> =
            told.unchecked.iter().map(|told| format!("{}: {}", told.element, told.message)).collect();
        assert_eq!(
            unchecked,
            ["shop.A.id: a CEL expression", "shop.A.id: `uri`", "shop.A.at: rules of google.protobuf.Timestamp"]
        );
        let again = outline(Asked { sources: None, descriptors: told.descriptors });
        assert_eq!(again.methods.len(), 2);
    }

    #[test]
    fn a_broken_source_is_a_problem_with_its_place() {
        let told = of("syntax = \"proto3\";\nmessage A {\n  strin id = 1;\n}\n");
        let [SourceProblem { file, line, column, message }] = &told.problems[..] else { panic!("{:?}", told.problems) };
        assert_eq!((file.as_str(), *line, *column), ("shop/a.proto", 3, 3));
        assert!(message.contains("strin"), "{message}");
        let told = of("syntax = \"proto3\";\nmessage A {\n  string id 1;\n}\n");
        assert_eq!((told.problems[0].line, told.problems[0].column), (3, 13));
        let told = of("syntax = \"proto3\";\nimport \"shop/b.proto\";\n");
        assert_eq!((told.problems[0].line, told.problems[0].column), (2, 1));
    }

    #[test]
    fn rules_that_do_not_fit_their_field_are_problems() {
        let told = of(r#"syntax = "proto3"; package shop; import "buf/validate/validate.proto";
            message A { int32 n = 1 [(buf.validate.field).string.min_len = 1]; string p = 2 [(buf.validate.field).string.pattern = "(?=a)"]; }
            service S { rpc A(A) returns (A); }"#);
        assert_eq!(told.problems.len(), 2);
        assert!(told.problems[0].message.starts_with("shop.A.n: rules of another type"), "{:?}", told.problems);
        assert!(told.problems[1].message.starts_with("shop.A.p: the pattern"), "{:?}", told.problems);
        assert_eq!(told.descriptors, None);
    }

    #[test]
    fn what_is_no_descriptor_set_is_a_problem() {
        let told = outline(Asked { sources: None, descriptors: Some("AAAA".to_owned()) });
        assert_eq!(told.problems.len(), 1);
    }
}
