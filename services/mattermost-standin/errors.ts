/** An answer that is an error, in Mattermost's shape. Clients match `id`, never `message`. */
export class ApiError extends Error {
  readonly status: number;
  readonly id: string;

  constructor(status: number, id: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.status = status;
    this.id = id;
  }
}

/** The error's body. */
export function errorBody(error: ApiError, requestId: string) {
  return {
    id: error.id,
    message: error.message,
    detailed_error: "",
    request_id: requestId,
    status_code: error.status,
  };
}

/** No, wrong or revoked token; or a disabled account. */
export function sessionExpired(): ApiError {
  return new ApiError(
    401,
    "api.context.session_expired.app_error",
    "Invalid or expired session, please login again.",
  );
}

/** The caller may not do this, or is no member. */
export function forbidden(): ApiError {
  return new ApiError(
    403,
    "api.context.permissions.app_error",
    "You do not have the appropriate permissions.",
  );
}

export function badBody(field: string): ApiError {
  return new ApiError(
    400,
    "api.context.invalid_body_param.app_error",
    `Invalid or missing ${field} in request body.`,
  );
}

export function badUrl(field: string): ApiError {
  return new ApiError(
    400,
    "api.context.invalid_url_param.app_error",
    `Invalid or missing ${field} parameter in request URL.`,
  );
}

/** A path that the stand-in does not know. */
export function noSuchPath(): ApiError {
  return new ApiError(
    404,
    "api.context.404.app_error",
    "Sorry, we could not find the page: the Mattermost stand-in has only a part of the API.",
  );
}

/** Postgres is away; `cause` is for the log. Never a 401: a client would take that for the loss of its token. */
export function databaseAway(cause?: unknown): ApiError {
  return new ApiError(
    503,
    "app.standin.database.app_error",
    "The database does not answer; try again in a moment.",
    cause,
  );
}
