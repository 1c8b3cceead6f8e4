/*
 * Calls the service as a program on the npm package strong-soap does, knowing only where the WSDL is. README.md says how
 * to talk to it.
 *
 *     node strong_soap_client.js WSDL-URL 1.1|1.2
 */

'use strict';

const readline = require('readline');
const { soap, QName } = require('strong-soap');

const PORTS = { 1.1: 'LicenseManagementServiceSoap', 1.2: 'LicenseManagementServiceSoap12' };

function call(client, port, given) {
    client.clearSoapHeaders();
    // Without the qualified name the header is in no namespace.
    const name = new QName(client.wsdl.definitions.$targetNamespace, 'AuthHeader', '');
    client.addSoapHeader({ UserName: given.user_name, Password: given.password }, name);
    return new Promise((done) => {
        port[given.operation]({ request: given.request }, (error, response) => {
            if (error) {
                const fault = error.root?.Envelope?.Body?.Fault;
                if (!fault) return done({ error: String(error) });
                const code = fault.faultcode ?? fault.Code.Value;
                const text = fault.faultstring ?? fault.Reason.Text;
                return done({ fault: text.$value ?? text, faultcode: code.$value ?? code });
            }
            const { Result: result, ...returned } = response[`${given.operation}Result`];
            done({ result: result.Result, code: result.Code, message: result.Message ?? '', ...returned });
        });
    });
}

// Whole seconds, as the other programs print them.
Date.prototype.toJSON = function () {
    return this.toISOString().replace('.000Z', 'Z');
};

async function main([url, version]) {
    const client = await new Promise((done, failed) => {
        soap.createClient(url, {}, (error, client) => (error ? failed(error) : done(client)));
    });
    const port = client.LicenseManagementService[PORTS[version]];
    for await (const line of readline.createInterface({ input: process.stdin })) {
        console.log(JSON.stringify(await call(client, port, JSON.parse(line))));
    }
}

main(process.argv.slice(2));
