// README.md of a bundle: how a client certificate is used, with its own file names and the gateway's own hosts.

import { rfc3339 } from './lifetime.js';
import type { ServedHost } from './service.js';

export interface Bundle {
  name: string;
  /** File name without its ending: letters, digits, `.`, `-` and `_` only. */
  file: string;
  notAfter: number;
  /** False when the device kept its key. */
  key: boolean;
  pkcs12: boolean;
  hosts: readonly ServedHost[];
}

/** When the configuration names no host that trusts the authority. */
const EXAMPLE: ServedHost = { name: 'api.example.com', url: 'https://api.example.com', trust: [] };
const SHOWN_HOSTS = 20;

export function readme(bundle: Bundle): string {
  const { file, hosts } = bundle;
  const host = hosts.find(({ name }) => !name.startsWith('*')) ?? EXAMPLE;
  const sections = [
    intro(bundle),
    files(bundle),
    reach(hosts),
    curl(file, host),
    node(file, host),
    python(file, host),
    go(file, host),
    android(bundle, host),
    ios(bundle),
    mqtt(file),
    esp32(file, host),
    renewal(file, host),
  ];
  return `${sections.join('\n\n')}\n`;
}

function intro({ name, notAfter }: Bundle): string {
  return `# Client certificate

For ${inline(name)}, good until ${rfc3339(notAfter)}.`;
}

function files({ file, key, pkcs12 }: Bundle): string {
  const rows = [
    `| ${file}.pem | the certificate |`,
    key
      ? `| ${file}.key | its private key, not encrypted: whoever has it is this client |`
      : '| (no key) | the private key never left the device that asked; where it is called for below, use that one |',
    `| ${file}-chain.pem | the certificate and what stands between it and its root |`,
    '| authority.pem | who issued it, up to the root: for servers that verify this client themselves |',
    ...(pkcs12 ? [`| ${file}.p12 | certificate, chain and key under the password that was given |`] : []),
  ];
  return `| file | what it is |\n| --- | --- |\n${rows.join('\n')}

authority.pem does not verify the gateway: its server certificate comes from another authority, in most cases one that
systems know already.`;
}

function reach(hosts: readonly ServedHost[]): string {
  if (hosts.length === 0)
    return '## Where\n\nNo host of the gateway trusts this authority yet; api.example.com stands for it below.';
  const listed = hosts.slice(0, SHOWN_HOSTS).map(({ url }) => `- ${url}`);
  return `## Where\n\n${listed.join('\n')}${hosts.length > SHOWN_HOSTS ? '\n- and others' : ''}`;
}

function curl(file: string, { url }: ServedHost): string {
  return `## curl

    curl --cert ${file}-chain.pem --key ${file}.key ${url}/`;
}

function node(file: string, { url }: ServedHost): string {
  return `## Node.js

    import { readFileSync } from 'node:fs';
    import { request } from 'node:https';

    const cert = readFileSync('${file}-chain.pem');
    const key = readFileSync('${file}.key');
    request('${url}/', { cert, key }, response => response.pipe(process.stdout)).end();

With fetch (npm install undici):

    import { Agent, fetch } from 'undici';

    const response = await fetch('${url}/', { dispatcher: new Agent({ connect: { cert, key } }) });`;
}

function python(file: string, { url }: ServedHost): string {
  return `## Python

    import requests
    print(requests.get('${url}/', cert=('${file}-chain.pem', '${file}.key')).text)

    import ssl, httpx
    context = ssl.create_default_context()
    context.load_cert_chain('${file}-chain.pem', '${file}.key')
    print(httpx.Client(verify=context).get('${url}/').text)`;
}

function go(file: string, { url }: ServedHost): string {
  return `## Go

    certificate, err := tls.LoadX509KeyPair("${file}-chain.pem", "${file}.key")
    if err != nil {
        log.Fatal(err)
    }
    client := &http.Client{Transport: &http.Transport{
        TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
    }}
    response, err := client.Get("${url}/")`;
}

function android({ file, pkcs12 }: Bundle, { url }: ServedHost): string {
  return `## Android

${needsP12(pkcs12)}For one app: ship ${file}.p12 apart from its password, and load it.

    val store = KeyStore.getInstance("PKCS12").apply { load(openFileInput("${file}.p12"), password) }
    val keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
    keys.init(store, password)
    val tls = SSLContext.getInstance("TLS").apply { init(keys.keyManagers, null, null) }
    val connection = URL("${url}/").openConnection() as HttpsURLConnection
    connection.sslSocketFactory = tls.socketFactory

For all apps: install it (Settings, Security, Encryption & credentials, VPN & app user certificate), then ask for it with
\`KeyChain.choosePrivateKeyAlias\` and take key and chain from \`KeyChain.getPrivateKey\` and \`getCertificateChain\`.
Android before 12 reads PKCS#12 with \`encryption: legacy\` only.`;
}

function ios({ file, pkcs12 }: Bundle): string {
  return `## iOS

${needsP12(pkcs12)}For Safari and mail: put ${file}.p12 into a configuration profile (Apple Configurator, payload Certificates) or
your device management. For an app:

    var items: CFArray?
    let options = [kSecImportExportPassphrase as String: password] as CFDictionary
    guard SecPKCS12Import(data as CFData, options, &items) == errSecSuccess,
          let first = (items as? [[String: Any]])?.first else { return }
    let identity = first[kSecImportItemIdentity as String] as! SecIdentity

and answer \`NSURLAuthenticationMethodClientCertificate\` in the URLSession's delegate with
\`URLCredential(identity: identity, certificates: nil, persistence: .forSession)\`.
iOS before 14 reads PKCS#12 with \`encryption: legacy\` only.`;
}

function mqtt(file: string): string {
  return `## MQTT

Give the broker authority.pem as its \`cafile\`, with \`require_certificate true\` (mosquitto.conf). Then:

    mosquitto_pub --cert ${file}-chain.pem --key ${file}.key --capath /etc/ssl/certs \\
      -h broker.example.com -p 8883 -t devices/${file} -m hello`;
}

function esp32(file: string, { name, url }: ServedHost): string {
  return `## ESP32

Arduino, with the texts of the files between R"( and )", and \`server_root\` that of the authority of ${name}'s server
certificate:

    WiFiClientSecure client;
    client.setCACert(server_root);
    client.setCertificate(chain_pem);      // ${file}-chain.pem
    client.setPrivateKey(key_pem);         // ${file}.key
    HTTPClient http;
    http.begin(client, "${url}/");
    http.GET();

ESP-IDF, with both files in EMBED_TXTFILES:

    esp_http_client_config_t config = {
        .url = "${url}/",
        .crt_bundle_attach = esp_crt_bundle_attach,
        .client_cert_pem = chain_pem_start,
        .client_key_pem = key_pem_start,
    };

The clock has to be right (SNTP) before the first connection, or the server's certificate seems not to be valid yet.`;
}

function renewal(file: string, { url }: ServedHost): string {
  return `## Renewal

Where the gateway has it switched on, the certificate renews itself in the last third of its life:

    openssl req -new -key ${file}.key -subj / -out renew.csr
    curl --cert ${file}-chain.pem --key ${file}.key -H 'Content-Type: application/pkcs10' \\
      --data-binary @renew.csr ${url}/.well-known/portcullis/renew -o ${file}-chain.pem.new`;
}

function needsP12(there: boolean): string {
  return there ? '' : 'This bundle has no PKCS#12 file: ask for one with a password. ';
}

/** A name in Markdown: nothing in it is markup. */
function inline(name: string): string {
  return `\`${name.replaceAll('`', "'")}\``;
}
