// The admin API's part for authorities, certificates and enrolments.

import type { Api } from '../admin/api.js';
import { authorityRoutes } from './authority-routes.js';
import { certificateRoutes } from './certificate-routes.js';
import { enrolmentRoutes } from './enrolment-routes.js';
import type { Pki } from './service.js';

export function routes(api: Api, pki: Pki): void {
  authorityRoutes(api, pki);
  certificateRoutes(api, pki);
  enrolmentRoutes(api, pki);
}
