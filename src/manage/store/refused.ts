/** The store cannot be opened as it is, or as it was asked for: what is wrong, and what would do. */
export class StoreRefused extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}
