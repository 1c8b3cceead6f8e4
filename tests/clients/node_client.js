/*
 * Calls the service as a program on the npm package soap does, knowing only where the WSDL is. README.md says how to
 * talk to it.
 *
 *     node node_client.js WSDL-URL 1.1|1.2
 */

'use strict';

const readline = require('readline');
const { promisify } = require('util');
const soap = require('soap');

const PORTS = { 1.1: 'LicenseManagementServiceSoap', 1.2: 'LicenseManagementServiceSoap12' };

async function call(client, port, given) {
    client.clearSoapHeaders();
    const header = { AuthHeader: { UserName: given.user_name, Password: given.password } };
    client.addSoapHeader(header, '', 'tns', client.wsdl.definitions.$targetNamespace);
    let response;
    try {
        response = await promisify(port[given.operation])({ request: given.request });
    } catch (error) {
        const fault = error.root?.Envelope?.Body?.Fault;
        if (!fault) return { error: String(error) };
        // The fault as it came: of SOAP 1.1 its two members, of 1.2 Code and Reason.
        const code = fault.faultcode ?? fault.Code.Value;
        const text = fault.faultstring ?? fault.Reason.Text;
        return { fault: text.$value ?? text, faultcode: code.$value ?? code };
    }
    const { Result: result, ...returned } = response[`${given.operation}Result`];
    return { result: result.Result, code: result.Code, message: result.Message ?? '', ...returned };
}

// Whole seconds, as the other programs print them.
Date.prototype.toJSON = function () {
    return this.toISOString().replace('.000Z', 'Z');
};

async function main([url, version]) {
    const client = await soap.createClientAsync(url, { forceSoap12Headers: version === '1.2', handleNilAsNull: true });
    const port = client.LicenseManagementService[PORTS[version]];
    for await (const line of readline.createInterface({ input: process.stdin })) {
        console.log(JSON.stringify(await call(client, port, JSON.parse(line))));
    }
}

main(process.argv.slice(2));
