//! Operations of an OpenAPI description: method and path template, matched in one walk.
