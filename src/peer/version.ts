import packageFile from '../../package.json' with { type: 'json' };

/** Of this software; peers of one cluster run the same. */
export const SOFTWARE_VERSION: string = packageFile.version;
