// The gRPC call of the bench: a small order asked for by its id.

export const PROTO = `syntax = "proto3";
package bench;

service Orders {
  rpc Get(GetRequest) returns (Order);
}

message GetRequest {
  string id = 1;
  int32 version = 2;
}

message Order {
  string id = 1;
  string status = 2;
  repeated string lines = 3;
}
`;

export const CALL = 'bench.Orders/Get';

/** `{ id: "c-1042", version: 7 }`. */
export const CALL_REQUEST = framed(Buffer.concat([text(1, 'c-1042'), Buffer.from([0x10, 7])]));
/** A field 2 that is text: what the description does not allow. */
export const CALL_UNFIT = framed(Buffer.concat([text(1, 'c-1042'), text(2, 'seven')]));
export const CALL_ANSWER = framed(Buffer.concat([text(1, 'c-1042'), text(2, 'packed'), text(3, 'x'.repeat(100))]));

export const CALL_HEADERS = { 'content-type': 'application/grpc', te: 'trailers' };

function text(field, value) {
  return Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
}

/** Uncompressed, its length in four bytes. */
function framed(message) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
