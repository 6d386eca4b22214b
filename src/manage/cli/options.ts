export const CONFIG_OPTION = ['-c, --config <file>', 'configuration file'] as const;
export const DEFAULT_FILE = 'portcullis.yaml';
